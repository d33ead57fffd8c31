"""Converts a protobuf message to canonical text, as Caffe writes nets and solvers to its log."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from netc.schema import LISTED, Message, is_repeated
from netc.text.literals import quote, spell_double, spell_float

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def from_message(message: Message) -> str:
    """Return the text of a message: fields in order of their numbers, two spaces per level, one value per line.

    Floats have the fewest digits that round-trip (`1`, `0.01`, `1e-05`); non-ASCII text is escaped.
    """
    return "".join(_lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    every = {field.name: value for field, value in message.ListFields() if field.name.endswith(LISTED)}
    for field, value in message.ListFields():
        if field.name in every:
            continue
        many, spell = _printer(field)
        many, value = (True, every[f"{field.name}{LISTED}"]) if f"{field.name}{LISTED}" in every else (many, value)
        for one in value if many else (value,):
            if spell is None:
                yield f"{indent}{field.name} {{\n"
                yield from _lines(one, indent + "  ")
                yield f"{indent}}}\n"
            else:
                yield f"{indent}{field.name}: {spell(one)}\n"


@functools.cache
def _printer(field: FieldDescriptor) -> tuple[bool, Callable[[Any], str] | None]:
    """Whether a field is repeated, and the function that formats its values: None for a message."""
    spell: Callable[[Any], str] | None = str
    if field.message_type is not None:
        spell = None
    elif field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        spell = functools.partial(_name, names)
    elif field.type == FieldDescriptor.TYPE_BOOL:
        spell = _truth
    elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        spell = quote
    elif field.type == FieldDescriptor.TYPE_FLOAT:
        spell = spell_float
    elif field.type == FieldDescriptor.TYPE_DOUBLE:
        spell = spell_double
    return is_repeated(field), spell


def _name(names: dict[int, str], number: int) -> str:
    return names.get(number, str(number))


def _truth(value: bool) -> str:
    return "true" if value else "false"
