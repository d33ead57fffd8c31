"""Converts scalars of the text format to values of protobuf's field types."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from netc.diagnostics import counted, did_you_mean
from netc.schema import Message, is_bvlc, is_repeated
from netc.text.literals import integer, looks_like_windows_path, real, unquote, with_slashes

if TYPE_CHECKING:
    from collections.abc import Callable

Value = int | float | bool | str | bytes

TRUE, FALSE = ("true", "t", "1", "True"), ("false", "f", "0", "False")
WORDS = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)

_F = FieldDescriptor
RANGES = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}
TYPES = {
    _F.TYPE_INT32: "int32", _F.TYPE_SINT32: "int32", _F.TYPE_SFIXED32: "int32",
    _F.TYPE_UINT32: "uint32", _F.TYPE_FIXED32: "uint32",
    _F.TYPE_INT64: "int64", _F.TYPE_SINT64: "int64", _F.TYPE_SFIXED64: "int64",
    _F.TYPE_UINT64: "uint64", _F.TYPE_FIXED64: "uint64",
    _F.TYPE_FLOAT: "float", _F.TYPE_DOUBLE: "double", _F.TYPE_BOOL: "bool",
    _F.TYPE_STRING: "string", _F.TYPE_BYTES: "bytes", _F.TYPE_ENUM: "enum", _F.TYPE_MESSAGE: "message",
}  # fmt: skip


class FaultError(Exception):
    """A scalar that a field cannot hold: the parts of a diagnostic except its position."""

    def __init__(self, code: str, message: str, help: str | None = None, *notes: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.notes = notes


def converter(field: FieldDescriptor) -> Callable[[str], Value]:
    """Return a function that converts a scalar to the value of a field; it raises FaultError."""
    name, kind = field.name, TYPES[field.type]
    if kind in RANGES:
        return functools.partial(_integer, name, kind)
    if kind == "enum":
        names = {value.name: value.number for value in field.enum_type.values}
        own = [value.name for value in field.enum_type.values if is_bvlc(value)]
        return functools.partial(_enum, name, names, own or list(names))
    simple: dict[str, Callable[[str, str], Value]]
    simple = {"float": _real, "double": _real, "bool": _truth, "string": _text, "bytes": _data}
    return functools.partial(simple[kind], name)


def set_loosely(message: Message, name: str, raw: str) -> None:
    """Set a field to a scalar of another type if its value can be expressed in the type of the field.

    >>> from netc.schema import new
    >>> message = new("caffe.NonMaximumSuppressionParameter")
    >>> set_loosely(message, "nms_threshold", "true")
    >>> message.nms_threshold
    1.0
    """
    field = message.DESCRIPTOR.fields_by_name[name]
    value = _loose(TYPES[field.type], raw)
    if value is None:
        return
    if is_repeated(field):
        getattr(message, name).append(value)
    else:
        setattr(message, name, value)


def _loose(kind: str, raw: str) -> Value | None:
    bare = raw[1:-1] if raw[0] in "\"'" else raw
    truth = WORDS.get(bare)
    if kind in ("string", "bytes"):
        return bare if kind == "string" else bare.encode()
    number = float(truth) if truth is not None else real(bare)
    if number is None or (kind in RANGES and not _fits(number, *RANGES[kind])):
        return None
    return bool(number) if kind == "bool" else int(number) if kind in RANGES else number


def _fits(number: float, lowest: int, highest: int) -> bool:
    """Whether a number is an integer of a range."""
    return number.is_integer() and lowest <= number <= highest


def _integer(name: str, kind: str, raw: str) -> int:
    lowest, highest = RANGES[kind]
    if raw.isdecimal() and raw.isascii() and len(raw) < 10 and (raw[0] != "0" or raw == "0"):
        return int(raw)
    value = integer(raw)
    if value is None:
        raise FaultError("E006", f"`{name}` expects an integer, got {_shown(raw)}", None, f"its type is {kind}")
    if not lowest <= value <= highest:
        raise FaultError("E007", f"`{name}` cannot hold {value}", None, f"its type is {kind}: {lowest} to {highest}")
    return value


def _real(name: str, raw: str) -> float:
    value = real(raw)
    if value is None:
        number = integer(raw)
        help = f"write `{number}`" if number is not None else None
        raise FaultError("E006", f"`{name}` expects a number, got {_shown(raw)}", help)
    return value


def _truth(name: str, raw: str) -> bool:
    value = WORDS.get(raw)
    if value is None:
        plain = WORDS.get(raw.strip("\"'").capitalize())
        help = "write `true` or `false`" if plain is None else f"write `{str(plain).lower()}`"
        raise FaultError("E006", f"`{name}` expects `true` or `false`, got {_shown(raw)}", help)
    return value


def _enum(name: str, names: dict[str, int], listed: list[str], raw: str) -> int:
    """`listed` are the names that an error lists: BVLC's, if the enum is part of BVLC's schema."""
    number = names.get(raw)
    if number is not None:
        return number
    number = integer(raw)
    if number is not None and number in names.values():
        return number
    note = "expected one of " + ", ".join(listed) if len(listed) <= 12 else f"it has {counted(len(listed), 'value')}"
    bare = raw.strip("\"'")
    help = f"write `{bare}` without quotes" if bare in names and bare != raw else did_you_mean(bare, names)
    raise FaultError("E008", f"unknown value {_shown(raw)} of `{name}`", help, note)


def _text(name: str, raw: str) -> str:
    try:
        return _data(name, raw).decode()
    except UnicodeDecodeError as error:
        raise FaultError(
            "E004",
            f"`{name}` expects UTF-8 text",
            None if raw.isascii() else "save the file as UTF-8",
            f"byte {error.start} is {error.object[error.start]:#04x}",
        ) from None


def _data(name: str, raw: str) -> bytes:
    if raw[0] not in "\"'":
        raise FaultError(
            "E006", f"`{name}` expects a string, got {_shown(raw)}", f'write `"{raw}"`' if len(raw) < 40 else None
        )
    try:
        return unquote(raw)
    except ValueError as error:
        fault = str(error)
        help = f"write `\\\\{fault[1:]}` for a backslash" if fault.startswith("\\") else None
        if looks_like_windows_path(raw[1:]):
            help = f"write the path with slashes: `{with_slashes(raw)}`"
        raise FaultError("E004", f"the string of `{name}` holds {fault}, not an escape sequence", help) from None


def _shown(raw: str) -> str:
    """A literal for a message, truncated if it is long."""
    return f"`{raw}`" if len(raw) <= 40 else f"`{raw[:37]}...`"
