"""The values of a layer's dataclass fields, read from its file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from netc.ir.filler import Filler

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.ir.fields import Fields
    from netc.ir.operator import Operator


def plain(parameters: Fields, f: dataclasses.Field[Any]) -> Any:
    """The value of the field of the same name in a message."""
    if f.name not in parameters and default(f) is not dataclasses.MISSING:
        return default(f)
    value = Filler.read(parameters, f.name) if f.type in ("Filler", Filler) else parameters[f.name]
    return tuple(value) if isinstance(value, list) else value


def argument(operator: Operator, f: dataclasses.Field[Any]) -> Any:
    """The argument of the same name of an operator, by the type of the field."""
    readers: dict[str, Callable[[str], Any]] = {
        "float": operator.real,
        "int": operator.integer,
        "bool": operator.flag,
        "str": operator.text,
        "tuple[int, ...]": operator.integers,
        "Shape": operator.integers,
        "tuple[float, ...]": operator.reals,
    }
    return readers[str(f.type)](f.name)


def default(f: dataclasses.Field[Any]) -> Any:
    """The default of the field, MISSING if it has none."""
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return f.default
