"""Values of enums that no schema has: kept, and an error for whoever asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

from netc.diagnostics import NetcError
from netc.schema import descriptor, is_repeated
from netc.text import Message, Scalar


class Unread(dict[str, Any]):
    """A message's values, among them Scalars that the schema has no value for: asking for one is NetcError E008.

    Asking whether one is set is not, nor is going through all items: the Scalars are found there.
    """

    def __getitem__(self, name: str) -> Any:
        return _checked(name, super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:
        return _checked(name, super().get(name, default))


def with_unread(message_name: str, values: dict[str, Any], node: Message | None) -> dict[str, Any]:
    """The values that were read from a tree, and those of its enums that could not be."""
    if node is None:
        return values
    found = {name: value for name in _enums(message_name) if name not in values for value in _spelled(node, name)}
    return Unread(values | found) if found else values


def _spelled(node: Message, name: str) -> list[Scalar]:
    return [value for value in node.get(name)[:1] if isinstance(value, Scalar)]


@cache
def _enums(message_name: str) -> Mapping[str, None]:
    """The fields of a message that hold one value of an enum."""
    return {f.name: None for f in descriptor(message_name).fields if f.enum_type is not None and not is_repeated(f)}


def _checked(name: str, value: Any) -> Any:
    if isinstance(value, Scalar):
        _refuse(name, value)
    return value


def _refuse(name: str, value: Scalar) -> NoReturn:
    raise NetcError(f"`{name}` has no value `{value.raw}`", code="E008", span=value.span, field=name)
