"""Encodes messages in a dialect: the counterpart of decode.py.

netc's schema has its own numbers for the fields of forks; a fork reads its files with the fork's numbers.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from netc.frontends.caffe.binary import layouts, numbers
from netc.frontends.caffe.binary.dialects import BVLC, DIALECTS, Dialect
from netc.schema import PRIVATE, Message, descriptor, is_repeated
from netc.weights.wire import FIXED32, FIXED64, VARINT, delimited, tag, varint


def has_field(dialect: str, message: str, field: str) -> bool:
    """Whether a dialect has a field of a message.

    >>> has_field("ssd", "LayerParameter", "permute_param"), has_field("segnet", "LayerParameter", "permute_param")
    (True, False)
    """
    return field in _numbers(dialect, message)


@cache
def dialects_with(message: str, field: str) -> tuple[str, ...]:
    """The dialects that have a field of a message, sorted by how common their files are.

    >>> dialects_with("LayerParameter", "psroi_pooling_param")[:2]
    ('rfcn', 'intel')
    """
    return tuple(dialect for dialect in DIALECTS if has_field(dialect, message, field))


def has_value(dialect: str, enum: str, value: str) -> bool:
    """Whether a fork may have a value of an enum that BVLC lacks: false where only other forks are known to have it.

    >>> has_value("rfcn", "NormalizationMode", "PRE_FIXED"), has_value("ssd", "NormalizationMode", "PRE_FIXED")
    (True, False)
    """
    owners = dialects_with_value(enum, value)
    return dialect in owners or not owners


@cache
def dialects_with_value(enum: str, value: str) -> tuple[str, ...]:
    """The dialects that are known to have a value of an enum that BVLC lacks, by how common their files are.

    >>> dialects_with_value("NormalizationMode", "PRE_FIXED")
    ('rfcn', 'intel')
    """
    return tuple(dialect for dialect in DIALECTS if value in layouts.ENUMS.get(dialect, {}).get(enum, {}).values())


@cache
def _numbers(dialect: str, message: str) -> dict[str, int]:
    """The numbers of a message's fields by name, in a dialect."""
    own = {field.number: field.name for field in descriptor(message).fields if field.number < PRIVATE}
    if message == "LayerParameter":
        forks = {number: by[dialect] for number, by in numbers.V2.items() if dialect in by}
        return {name: number for number, name in {**own, **forks}.items()}
    if dialect == BVLC:
        return {name: number for number, name in own.items()}
    known = {*own, *layouts.COMMON.get(message, {}), *layouts.BY_DIALECT.get(dialect, {}).get(message, {})}
    named = {number: Dialect(dialect).field(message, number) for number in known}
    return {name: number for number, name in named.items() if name is not None}


def encode(message: Message, dialect: str) -> bytes:
    """Serialize a message in a dialect. Raises KeyError for a field that the dialect does not have."""
    own = _numbers(dialect, message.DESCRIPTOR.name)
    return b"".join(
        _field(own[field.name], field, one, dialect)
        for field, value in message.ListFields()
        for one in (value if is_repeated(field) else (value,))
    )


def _field(number: int, field: FieldDescriptor, value: Any, dialect: str) -> bytes:
    if field.message_type is not None:
        return delimited(number, encode(value, dialect))
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return delimited(number, value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return tag(number, FIXED32) + struct.pack("<f", value)
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return tag(number, FIXED64) + struct.pack("<d", value)
    whole = value if field.enum_type is None else _enum(field.enum_type, value, dialect)
    return tag(number, VARINT) + varint(int(whole) % 2**64)


def _enum(kind: EnumDescriptor, value: int, dialect: str) -> int:
    own = layouts.ENUMS.get(dialect, {}).get(kind.name, {})
    word = kind.values_by_number[value].name
    return next((number for number, name in own.items() if name == word), value)
