"""Values of enums that no schema has: kept, and an error for whoever asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from netc.diagnostics import NetcError
from netc.schema import descriptor, is_repeated
from netc.text import Message, Scalar
from netc.text.values import FaultError, Value, converter


class Unread(dict[str, Any]):
    """A message's values; in the place of one that the schema does not have stands the error for whoever asks for it.

    Asking whether one is set is no error, nor is going through all items.
    """

    def __getitem__(self, name: str) -> Any:
        return _checked(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        return _checked(super().get(name, default))


def with_unread(message_name: str, values: dict[str, Any], node: Message | None) -> dict[str, Any]:
    """The values that were read from a tree, and NetcError E008 for those of its enums that could not be."""
    if node is None:
        return values
    enums = _enums(message_name)
    found = {name: fault for name in enums if name not in values for fault in _faults(node, name, enums[name])}
    return Unread(values | found) if found else values


def _faults(node: Message, name: str, convert: Callable[[str], Value]) -> Iterator[NetcError]:
    for value in node.get(name)[:1]:
        if isinstance(value, Scalar):
            try:
                convert(value.raw)
            except FaultError as fault:
                yield NetcError(fault.message, code="E008", span=value.span, notes=fault.notes, help=fault.help)


@cache
def _enums(message_name: str) -> Mapping[str, Callable[[str], Value]]:
    """What reads the fields of a message that hold one value of an enum."""
    return {f.name: converter(f) for f in descriptor(message_name).fields if f.enum_type and not is_repeated(f)}


def _checked(value: Any) -> Any:
    if isinstance(value, NetcError):
        raise value
    return value
