"""Tells Caffe2's messages apart, and from Caffe's, which have the same field numbers.

NetDef        1 name   2 operators (4 type, 5 arguments)
PlanDef       1 name   2 nets      3 steps
MetaNetDef    1 blobs (key, names) 2 nets (1 key, 2 NetDef)   3 model
BlobProto     1 name   2 "Tensor"  3 tensor
TensorProtos  1 tensors
TensorProto   1 dims   2 type      3... elements
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.weights.wire import LENGTH, VARINT, Wire, WireField

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_EXAMINED = 64
"""Number of fields that determine a type."""
_BLOB_TYPES = (b"Tensor", b"TensorCPU", b"TensorCUDA", b"std::string", b"int8::Int8TensorCPU")
_ELEMENTS = {(number, LENGTH) for number in (3, 4, 5, 6, 7, 9, 10, 13)}
_TENSOR = _ELEMENTS | {(1, VARINT), (1, LENGTH), (2, VARINT), (8, LENGTH), (11, LENGTH), (15, VARINT)}
"""TensorProto's fields, with the wire types in which Caffe2 writes them."""


def caffe2_message(data: memoryview, seen: AbstractSet[tuple[int, int]]) -> str | None:
    """The type of a message, a key of `file_type.NAMES`; None for one of Caffe.

    `seen` are the numbers and wire types of its first fields.
    """
    if (2, LENGTH) in seen:
        inner = [field for field in _fields(data, 0, len(data)) if field[:2] == (2, LENGTH)]
        if _are_operators(data, inner):
            return "caffe2"
        if all(_is_net(data, field) for field in inner):
            return "caffe2_plan"
        if all(_is_entry(data, field) for field in inner):
            return "meta_net"
        if len(inner) == 1 and (1, LENGTH) in seen and bytes(data[inner[0].at : inner[0].end]) in _BLOB_TYPES:
            return "tensor_blob"
        return None
    if seen == {(1, LENGTH)}:
        tensors = _fields(data, 0, len(data))
        return "tensors" if all(_is_tensor(data, field.at, field.end) for field in tensors) else None
    return "tensor" if _is_tensor(data, 0, len(data)) else None


def _fields(data: memoryview, start: int, end: int) -> list[WireField]:
    """The first fields of a message, up to the first that is damaged."""
    found: list[WireField] = []
    try:
        for field in Wire(data, "").fields(start, end):
            found.append(field)
            if len(found) == _EXAMINED:
                break
    except NetcError:
        pass
    return found


def _are_operators(data: memoryview, fields: list[WireField]) -> bool:
    return bool(fields) and all(_is_operator(data, _fields(data, f.at, f.end)) for f in fields)


def _is_operator(data: memoryview, fields: list[WireField]) -> bool:
    """Whether a message is an operator, whose field 4 is its type and 5 its arguments, and not a layer.

    Field 4 of a layer is its name and 5 the number of its type; the first format has its name and type in field 1.
    """
    kinds = {field[:2] for field in fields}
    if (5, VARINT) in kinds or (4, LENGTH) not in kinds:
        return False
    types = [bytes(data[f.at : f.end]) for f in fields if f.number == 4]
    return (5, LENGTH) in kinds or all(re.fullmatch(rb"[A-Za-z_][\w:]*", name) for name in types)


def _is_net(data: memoryview, net: WireField) -> bool:
    """Whether a message is a NetDef with operators."""
    return _are_operators(data, [f for f in _fields(data, net.at, net.end) if f[:2] == (2, LENGTH)])


def _is_entry(data: memoryview, entry: WireField) -> bool:
    """Whether a message is a key, and a NetDef with operators or none."""
    fields = _fields(data, entry.at, entry.end)
    nets = [field for field in fields if field.number == 2]
    if [field[:2] for field in fields] != [(1, LENGTH), (2, LENGTH)]:
        return False
    return not nets[0].value or _is_net(data, nets[0])


def _is_tensor(data: memoryview, start: int, end: int) -> bool:
    """Whether a message is a TensorProto: Caffe2 always writes the type, and the name or elements."""
    kinds = {field[:2] for field in _fields(data, start, end)}
    return (2, VARINT) in kinds and bool(kinds & _ELEMENTS) and kinds <= _TENSOR
