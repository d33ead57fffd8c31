"""Caffe's and Caffe2's messages, and plain Python values of them.

    from netc.schema import caffe
    net = caffe.NetParameter(name="LeNet")

`caffe` and `caffe2` are generated from proto/ (tools/generate_schema.py). This file and `_loader.py` are written by
hand: they hold what every generated module shares.

    as_dict(message)          the fields that are set, as plain values
    fill(message, values)     the same back
    defaults("caffe.X")       what every field is where it is not set
    descriptor("caffe.X")     protobuf's description of a message
    new("caffe.X")            an empty message
    is_bvlc(field)            whether BVLC's Caffe has a field, or a value of an enum; forks' are there too
    private("caffe.X")        the names of a message's fields that it has not
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumValueDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from netc.schema import caffe, caffe2
from netc.schema._loader import POOL, Message, message_class
from netc.schema.filling import fill, is_repeated

__all__ = [
    "DecodeError",
    "Message",
    "as_dict",
    "caffe",
    "caffe2",
    "defaults",
    "descriptor",
    "fill",
    "is_bvlc",
    "is_repeated",
    "is_required",
    "message_class",
    "new",
    "private",
]

PRIVATE = 50000
"""The first number in proto/ of fields and values that only forks of Caffe have."""
LISTED = "__list"
"""The suffix of a field that holds every value of another field, which a fork may repeat and BVLC may not."""


@functools.lru_cache(maxsize=None)
def descriptor(name: str) -> Descriptor:
    """The description of a message by its full name, such as `caffe.NetParameter`; a bare name is Caffe's.

    Raises KeyError for a name that neither schema has.
    """
    return POOL.FindMessageTypeByName(name if "." in name else f"caffe.{name}")


def new(name: str) -> Message:
    """An empty message by its full name, as `descriptor` takes it."""
    return message_class(descriptor(name))()


def is_required(field: FieldDescriptor) -> bool:
    """Whether a message without this field is incomplete."""
    known = getattr(field, "is_required", None)
    return field.label == FieldDescriptor.LABEL_REQUIRED if known is None else bool(known)


def is_bvlc(member: FieldDescriptor | EnumValueDescriptor) -> bool:
    """Whether a field, or a value of an enum, is of BVLC's schema; the others are those of forks of Caffe."""
    if member.number >= PRIVATE:
        return False
    if isinstance(member, FieldDescriptor):
        return True
    owner = member.type.containing_type
    return owner is None or not owner.fields or any(field.number < PRIVATE for field in owner.fields)


@functools.lru_cache(maxsize=None)
def private(message_name: str) -> frozenset[str]:
    """The names of a message's fields that BVLC's schema does not have. Raises KeyError for an unknown message."""
    return frozenset(field.name for field in descriptor(message_name).fields if not is_bvlc(field))


@functools.lru_cache(maxsize=None)
def defaults(message_name: str) -> Mapping[str, object]:
    """What each field of a message is where it is not set, by field name.

    Enums are the names of their values, repeated fields `()`, messages None; a field without a default of its own has
    proto2's: 0, "", b"" or False, and an enum its first value. Float defaults are the nearest float32. Raises KeyError
    for an unknown message.
    """
    return MappingProxyType({field.name: _default(field) for field in descriptor(message_name).fields})


def _default(field: FieldDescriptor) -> object:
    if is_repeated(field):
        return ()
    if field.message_type is not None:
        return None
    if field.enum_type is not None:
        return field.enum_type.values_by_number[field.default_value].name
    value: object = field.default_value
    return value


def as_dict(message: Message) -> dict[str, Any]:
    """The fields that are set, in the order of their numbers, as plain Python values.

    Enums are names (the number where a value has no name), repeated fields tuples, messages dictionaries.
    """
    return {field.name: convert(value) for field, value in message.ListFields() for convert in (_converter(field),)}


@functools.lru_cache(maxsize=None)
def _converter(field: FieldDescriptor) -> Callable[[Any], object]:
    if field.message_type is not None:
        return (lambda values: tuple(map(as_dict, values))) if is_repeated(field) else as_dict
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        if is_repeated(field):
            return lambda values: tuple(names.get(value, value) for value in values)
        return lambda value: names.get(value, value)
    return tuple if is_repeated(field) else lambda value: value
