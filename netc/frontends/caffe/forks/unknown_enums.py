"""Unknown enum values: kept when a file is read, an error when they are accessed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.schema import descriptor, is_repeated
from netc.text import Message, Scalar
from netc.text.values import FaultError, Value, converter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class FieldValues(dict[str, Any]):
    """The values of a message; accessing an unknown enum value by its field raises NetcError E008.

    Membership tests and iteration do not raise; iteration returns the NetcError as the value.
    """

    def __getitem__(self, name: str) -> Any:
        return _checked(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        return _checked(super().get(name, default))


def with_unknown_enums(message_name: str, values: dict[str, Any], node: Message | None) -> dict[str, Any]:
    """Return the values read from a tree, with a NetcError E008 in place of each unknown enum value."""
    if node is None:
        return values
    enums = _enums(message_name)
    found = {name: fault for name in enums if name not in values for fault in _faults(node, name, enums[name])}
    return FieldValues(values | found) if found else values


def _faults(node: Message, name: str, convert: Callable[[str], Value]) -> Iterator[NetcError]:
    for value in node.get(name)[:1]:
        if isinstance(value, Scalar):
            try:
                convert(value.raw)
            except FaultError as fault:
                yield NetcError(fault.message, code="E008", span=value.span, notes=fault.notes, help=fault.help)


@cache
def _enums(message_name: str) -> Mapping[str, Callable[[str], Value]]:
    """The converters of the singular enum fields of a message."""
    return {f.name: converter(f) for f in descriptor(message_name).fields if f.enum_type and not is_repeated(f)}


def _checked(value: Any) -> Any:
    if isinstance(value, NetcError):
        raise value
    return value
