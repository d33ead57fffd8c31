"""Decodes Caffe2's TensorProto messages: one tensor, or a segment of one.

    1 dims      2 data_type        3 float_data   4 int32_data   5 byte_data   6 string_data   7 name
    9 double_data   10 int64_data  11 segment {1 begin, 2 end}   13 raw_data   15 data_format

`int32_data` holds every integer narrower than 64 bits, bool, and float16 as its bits; `byte_data` and `raw_data` hold
the elements themselves, little endian. Source: caffe2.proto, `blob_serialization.cc`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.weights.blobproto import MAX_AXES, check_shape
from netc.weights.wire import LENGTH, VARINT, Wire, WireField, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netc.weights.blobs import Array

MAX_COUNT = 2**48
"""Limit of the elements of a tensor; Caffe2 counts them in 64 bits."""
STRING = 4
TYPES = {
    1: "<f4",
    2: "<i4",
    3: "|u1",
    5: "|b1",
    6: "|u1",
    7: "|i1",
    8: "<u2",
    9: "<i2",
    10: "<i8",
    12: "<f2",
    13: "<f8",
}
"""The types of elements by `data_type`; 3, the deprecated BYTE, is read as uint8."""
_FIELDS = {1: 3, 2: 4, 5: 4, 6: 4, 7: 4, 8: 4, 9: 4, 10: 10, 12: 4, 13: 9}
"""The field that holds the elements of a type."""
_BYTES, _RAW = 5, 13
_BFLOAT16 = 1
"""The `data_format` of floats that are stored as their upper 16 bits."""


@dataclass(frozen=True, eq=False)
class Segment:
    """The elements `begin` to `end` of a tensor, as one message holds them."""

    name: str
    shape: tuple[int, ...]
    """Of the whole tensor."""
    begin: int
    data: Array
    """The elements, one-dimensional."""
    at: int
    """Offset of the message."""

    @property
    def end(self) -> int:
        """The index after the last element."""
        return self.begin + self.data.size


class _Parts:
    """The fields of one TensorProto."""

    def __init__(self, wire: Wire, start: int, end: int) -> None:
        self.name, self.kind, self.layout = "", 1, 0
        self.dims: list[int] = []
        self.segment: WireField | None = None
        self.elements: dict[int, list[WireField]] = {}
        for field in wire.fields(start, end):
            if field.number == 1:
                self.dims += _dims(wire, field, start, len(self.dims))
            elif field.number == 7:
                self.name = wire.text(_message(wire, field))
            elif field.number == 11:
                self.segment = _message(wire, field)
            elif field.number in (3, 4, 9, 10, _BYTES, _RAW):
                wire.keep()
                self.elements.setdefault(field.number, []).append(field)
            elif field.wire == VARINT:
                self._number(field)

    def _number(self, field: WireField) -> None:
        if field.number == 2:
            self.kind = field.value
        elif field.number == 15:
            self.layout = field.value


def decode_segment(wire: Wire, start: int, end: int) -> Segment | None:
    """The TensorProto in bytes `start` to `end`; None for a tensor of strings.

    Floats are a view of the file. Raises NetcError E403 for damaged bytes, E404 for an impossible shape and for a
    number of values that is not that of the segment, E406 for a type of elements that does not exist.
    """
    parts = _Parts(wire, start, end)
    if parts.kind == STRING:
        return None
    what = f"the tensor `{parts.name}` at byte {start}"
    if parts.kind not in TYPES:
        wire.fail("E406", f"{what} has elements of type {parts.kind}, which is unknown")
    shape = tuple(parts.dims)
    total = _total(wire, shape, what)
    begin, stop = (0, total) if parts.segment is None else _bounds(wire, parts.segment)
    if not 0 <= begin <= stop <= total:
        wire.fail("E404", f"{what} has {total} values, but its segment is {begin} to {stop}")
    data = _elements(wire, parts)
    if data.size != stop - begin:
        if stop - begin == total:
            check_shape(wire, shape, data.size, what, MAX_COUNT)
        wire.fail("E404", f"{what} has the segment {begin} to {stop}, but holds {data.size} values")
    return Segment(parts.name, shape, begin, data, start)


def joined(wire: Wire, name: str, segments: Sequence[Segment]) -> Array:
    """The tensor of its segments, in any order: a view of the file if there is one, else a new array.

    Raises NetcError E404 for segments that disagree about the shape or the type, overlap, or leave a gap.
    """
    first = segments[0]
    if len(segments) == 1 and first.data.size == math.prod(first.shape):
        return first.data.reshape(first.shape)
    place, dtype = 0, first.data.dtype
    ordered = sorted(segments, key=lambda segment: (segment.begin, segment.end))
    for segment in ordered:
        what = f"the segment {segment.begin} to {segment.end} of `{name}` at byte {segment.at}"
        if segment.shape != first.shape or segment.data.dtype != dtype:
            wire.fail("E404", f"{what} is of a tensor of another shape or type")
        if segment.begin < place:
            wire.fail("E404", f"{what} overlaps the one before, which ends at {place}")
        if segment.begin > place:
            wire.fail("E404", f"{what} leaves a gap: the values {place} to {segment.begin} of `{name}` are missing")
        place = segment.end
    total = math.prod(first.shape)
    if place != total:
        wire.fail("E404", f"the values {place} to {total} of `{name}` are missing: its last segment ends early")
    return np.concatenate([segment.data for segment in ordered]).reshape(first.shape)


def _dims(wire: Wire, field: WireField, start: int, found: int) -> list[int]:
    """The extents in a field, packed or not. Raises NetcError E404 for more than the maximum number of axes."""
    most = MAX_AXES + 1 - found  # one more than is allowed: a hostile list is not read to its end
    if field.wire == VARINT:
        extents = [signed(field.value, 64)]
    else:
        extents = []
        at, stop = _message(wire, field).at, field.end
        while at < stop and len(extents) < most:
            value, at = wire.varint(at, stop)
            extents.append(signed(value, 64))
    if len(extents) >= most:
        wire.fail("E404", f"the tensor at byte {start} has more than {MAX_AXES} axes")
    return extents


def _total(wire: Wire, shape: tuple[int, ...], what: str) -> int:
    """The number of elements of a shape. Raises NetcError E404 for a negative extent, and for too many."""
    total = math.prod(shape)
    check_shape(wire, shape, total, what, MAX_COUNT)
    return total


def _bounds(wire: Wire, segment: WireField) -> tuple[int, int]:
    numbers = {1: 0, 2: 0}
    for field in wire.fields(segment.at, segment.end):
        if field.wire == VARINT:
            numbers[field.number] = signed(field.value, 64)
    return numbers[1], numbers[2]


def _elements(wire: Wire, parts: _Parts) -> Array:
    """The values of the field that the type names, else those of its bytes."""
    dtype, own = np.dtype(TYPES[parts.kind]), _FIELDS.get(parts.kind, 0)
    if own in parts.elements:
        pieces = [_piece(wire, field, dtype) for field in parts.elements[own]]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    for number in (_BYTES, _RAW):
        if number in parts.elements:
            last = _message(wire, parts.elements[number][-1])
            if parts.kind == 1 and parts.layout == _BFLOAT16:
                upper: Array = wire.values(last, "<u2").astype(np.uint32) << 16
                return upper.view(np.float32)
            return wire.values(last, np.uint8).astype(dtype) if dtype.kind == "b" else wire.values(last, dtype)
    return np.empty(0, dtype)


def _piece(wire: Wire, field: WireField, dtype: np.dtype[Any]) -> Array:
    """The values in a field of numbers: floats as they are, integers as varints, float16 as the varint of its bits."""
    if field.number in (3, 9):
        return wire.values(field, dtype)
    return wire.varints(field, np.uint16).view(dtype) if dtype == np.float16 else wire.varints(field, dtype)


def _message(wire: Wire, field: WireField) -> WireField:
    """A length-delimited field. Raises NetcError E403 for another wire type."""
    if field.wire != LENGTH:
        found = f"has wire type {field.wire}, not that of a string"
        wire.fail("E403", f"field {field.number} at byte {field.start} {found}")
    return field
