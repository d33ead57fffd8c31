"""Caffe's messages, under the names of the module that protoc generates from caffe.proto.

    from netc.pycaffe.proto.caffe_pb2 import NetParameter, TRAIN

Messages, enums and values of enums are made on first use; `dir()` and `import *` list all of them. Descriptors, also
of enums inside messages, have the names that older versions of protoc generated: `_POOLINGPARAMETER_POOLMETHOD`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from netc.schema import caffe

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIPTOR = caffe.DESCRIPTOR

__all__ = [
    "DESCRIPTOR",
    *DESCRIPTOR.message_types_by_name,
    *DESCRIPTOR.enum_types_by_name,
    *(name for enum in DESCRIPTOR.enum_types_by_name.values() for name in enum.values_by_name),
]


def __getattr__(name: str) -> Any:
    """A message, an enum, a value of an enum outside messages, or a descriptor under its older name."""
    if name.startswith("_"):
        try:
            return _descriptors()[name]
        except KeyError:
            raise AttributeError(f"module 'caffe_pb2' has no attribute {name!r}") from None
    return getattr(caffe, name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_descriptors()])


@cache
def _descriptors() -> dict[str, Any]:
    """Descriptors by the names of older versions of protoc."""
    enums = {f"_{name.upper()}": enum for name, enum in DESCRIPTOR.enum_types_by_name.items()}
    return {**enums, **dict(_nested("", DESCRIPTOR.message_types_by_name.values()))}


def _nested(prefix: str, messages: Any) -> Iterator[tuple[str, Any]]:
    for message in messages:
        name = f"{prefix}_{message.name.upper()}"
        yield name, message
        yield from ((f"{name}_{enum.name.upper()}", enum) for enum in message.enum_types)
        yield from _nested(name, message.nested_types)
