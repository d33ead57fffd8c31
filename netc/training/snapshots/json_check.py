"""Reads small JSON files and checks their values by a schema of functions; errors name the field (`losses[3]`)."""

from __future__ import annotations

import base64
import binascii
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from netc.files import read_bytes, reason_of

if TYPE_CHECKING:
    from pathlib import Path

Check = Callable[[Any, str], None]
"""Raises InvalidFieldError for a value that does not fit; the second argument is the field's name."""

MAX_BYTES = 1 << 28
"""Maximum size of a file."""
MAX_SHOWN = 40
"""Characters of a value that a message shows."""


class InvalidFieldError(ValueError):
    """A field with a value that does not fit. The text is a sentence without the file's name."""

    def __init__(self, field: str, value: Any, expected: str) -> None:
        super().__init__(f"{f'`{field}`' if field else 'the content'} is {_shown(value)}, expected {expected}")


def read_json(path: Path, schema: Check) -> Any:
    """Return the checked content of a file.

    Raises FileNotFoundError, and ValueError with the reason for a file that cannot be read or does not fit.
    """
    try:
        content = json.loads(read_bytes(path, MAX_BYTES))
    except FileNotFoundError:
        raise
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON from line {error.lineno}, column {error.colno} on") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not text") from error
    except OSError as error:
        raise ValueError(reason_of(error)) from error
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    schema(content, "")
    return content


def integer(low: int = 0, high: int = 2**31 - 1) -> Check:
    """An integer from `low` to `high`, both inclusive."""

    def check(value: Any, field: str) -> None:
        if type(value) is not int or not low <= value <= high:  # bool is a subclass of int
            raise InvalidFieldError(field, value, f"an integer from {low} to {high}")

    return check


def number(low: float = -math.inf, high: float = sys.float_info.max) -> Check:
    """A finite number from `low` to `high`."""

    def check(value: Any, field: str) -> None:
        if type(value) not in (int, float) or not (low <= value <= high and abs(value) <= high):
            bound = f" of {low:g} or more" if low > -math.inf else ""
            raise InvalidFieldError(field, value, f"a finite number{bound}")

    return check


def text(value: Any, field: str) -> None:
    """A string."""
    if not isinstance(value, str):
        raise InvalidFieldError(field, value, "a string")


def encoded(value: Any, field: str) -> None:
    """Bytes in base64."""
    text(value, field)
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidFieldError(field, value, "base64") from None


def optional(check: Check) -> Check:
    """null, or what `check` accepts."""
    return lambda value, field: None if value is None else check(value, field)


def items(check: Check, length: int | None = None) -> Check:
    """A list of values that `check` accepts, of a given length if any."""

    def check_list(value: Any, field: str) -> None:
        if not isinstance(value, list):
            raise InvalidFieldError(field, value, "a list")
        if length is not None and len(value) != length:
            raise InvalidFieldError(field, value, f"a list of length {length}")
        for index, item in enumerate(value):
            check(item, f"{field}[{index}]")

    return check_list


def entries(check: Check) -> Check:
    """An object with any keys, whose values `check` accepts."""

    def check_object(value: Any, field: str) -> None:
        if not isinstance(value, dict):
            raise InvalidFieldError(field, value, "an object")
        for key, item in value.items():
            check(item, f"{field}.{key}" if field else key)

    return check_object


def record(fields: Mapping[str, Check], optional_fields: Mapping[str, Check] | None = None) -> Check:
    """An object with these fields; optional ones may be missing, and further fields are ignored."""

    def check_record(value: Any, field: str) -> None:
        entries(_anything)(value, field)
        for name, check in fields.items():
            path = f"{field}.{name}" if field else name
            if name not in value:
                raise MissingFieldError(path)
            check(value[name], path)
        for name, check in (optional_fields or {}).items():
            if name in value:
                check(value[name], f"{field}.{name}" if field else name)

    return check_record


class MissingFieldError(InvalidFieldError):
    """A field that is missing."""

    def __init__(self, field: str) -> None:
        ValueError.__init__(self, f"`{field}` is missing")


def _anything(value: Any, field: str) -> None:
    """Accept any value."""


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        kind = "an object" if isinstance(value, dict) else "a list"
        return f"{kind} of length {len(value)}"
    shown = json.dumps(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."
