"""Encodes and decodes BlobProto messages, in every dialect in use.

    field   BVLC                        C3D 1.0          NVIDIA
    1-4     num channels height width   num channels length height
    5       data, float                 width            data
    6       diff, float                 data             diff
    7       shape                       diff             shape
    8, 9    data, diff, double                           same
    10-13                                                raw_data_type raw_diff_type raw_data raw_diff

Field 5 is a number in C3D and packed floats in all others, which distinguishes the two.
Sources: caffe.proto of BVLC/caffe, NVIDIA/caffe (0.15 and later) and facebook/C3D; `blob.cpp` (FromProto, ToProto).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import NetcError
from netc.weights.atomic import atomic_write
from netc.weights.blobs import Array, BlobArray
from netc.weights.wire import LENGTH, VARINT, Wire, WireField, delimited, signed, tag, varint

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

MAX_AXES = 32
"""Caffe's kMaxBlobAxes."""
MAX_COUNT = 2**31 - 1
"""Caffe counts elements in an int."""
RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
"""NVIDIA's enum Type; 3 (INT) and 4 (UINT) are not used for weights."""
Piece = bytes | Array
"""A part of a file to write: bytes, or an array whose elements are written as they are."""


class _Parts:
    """The fields of one BlobProto by number: the last value of numbers, every piece of others."""

    def __init__(self, wire: Wire, start: int, end: int) -> None:
        self.wire, self.start = wire, start
        self.numbers: dict[int, int] = {}
        self.fields: dict[int, list[WireField]] = {}
        for field in wire.fields(start, end):
            if field.number > 13:
                continue
            if field.wire == VARINT:
                self.numbers[field.number] = field.value
            else:
                wire.keep()
                self.fields.setdefault(field.number, []).append(field)

    def values(self, number: int, dtype: str) -> Array | None:
        """A repeated field, a view if it is contiguous; None if it is absent or empty."""
        pieces = [self.wire.values(field, dtype) for field in self.fields.get(number, ())]
        if len(pieces) > 1:
            return np.concatenate(pieces)
        return pieces[0] if pieces and pieces[0].size else None

    def raw(self, type_number: int, number: int) -> Array | None:
        """NVIDIA's raw bytes, whose type is a field of its own; the last of several counts."""
        if number not in self.fields:
            return None
        dtype = RAW_TYPES.get(self.numbers.get(type_number, -1))
        if dtype is None:
            given = self.numbers.get(type_number, "missing")
            self.wire.fail("E406", f"field {number} of the blob at byte {self.start} is raw, but its type is {given}")
        return self.wire.values(self.fields[number][-1], dtype)

    def shape(self) -> tuple[int, ...]:
        dims: list[int] = []
        for field in self.fields.get(7, ()):
            if field.wire == LENGTH:
                dims.extend(_dims(self.wire, field))
        if len(dims) > MAX_AXES:
            self.wire.fail("E404", f"the blob at byte {self.start} has more than {MAX_AXES} axes")
        return tuple(dims)


def decode_blob(wire: Wire, start: int, end: int) -> BlobArray:
    """The BlobProto in bytes `start` to `end`.

    Raises NetcError E403 for broken bytes, E404 for a shape that does not match the values, E406 for raw data of a
    type that is not a float.
    """
    parts = _Parts(wire, start, end)
    shifted = 5 in parts.numbers
    extents = range(1, 6 if shifted else 5)
    legacy = any(number in parts.numbers for number in extents)
    shape = tuple(signed(parts.numbers.get(n, 0), 32) for n in extents) if legacy else parts.shape()
    data = _first(parts.values(8, "<f8"), parts.values(6 if shifted else 5, "<f4"))
    diff = _first(parts.values(9, "<f8"), parts.values(7 if shifted else 6, "<f4"))
    if data is None:  # BVLC's opencl branch uses the field numbers of raw values for other things
        data = parts.raw(10, 12)
        diff = parts.raw(11, 13) if diff is None else diff
    data = np.empty(0, np.float32) if data is None else data
    check_shape(wire, shape, data.size, f"the blob at byte {start}")
    if diff is not None:
        check_shape(wire, shape, diff.size, f"the diff of the blob at byte {start}")
    return BlobArray(data.reshape(shape), None if diff is None else diff.reshape(shape), legacy)


def check_shape(wire: Wire, shape: Sequence[int], count: int, what: str, most: int = MAX_COUNT) -> None:
    """Raises NetcError E404 if the shape is not that of `count` values, or has more than `most`."""
    shown = "x".join(map(str, shape)) or "()"
    if any(extent < 0 for extent in shape):
        wire.fail("E404", f"{what} has the shape {shown}: an extent is negative")
    if math.prod(extent for extent in shape if extent) > most:
        wire.fail("E404", f"{what} has the shape {shown}: more than {most} values")
    if math.prod(shape) != count:
        wire.fail("E404", f"{what} has the shape {shown}, {math.prod(shape)} values, but holds {count}")


def encode_blob(blob: BlobArray, legacy: bool = False) -> list[Piece]:
    """A BlobProto as Caffe writes it, in the order of field numbers.

    With `legacy` the shape is written as four extents. float64 is written to the double fields; float16 becomes
    float32. Raises NetcError E406 for other types.
    """
    shape = blob.data.shape
    low: list[Piece] = []
    high: list[Piece] = []
    for array, single, double in ((blob.data, 5, 8), (blob.diff, 6, 9)):
        if array is not None and array.size:
            wide = writable(array).itemsize == 8
            (high if wide else low).extend(nested(double if wide else single, [array]))
    if legacy:
        extents = b"".join(tag(n, VARINT) + varint(extent) for n, extent in enumerate(shape, 1))
        return [extents, *low, *high]
    dims = b"".join(map(varint, shape))
    return [*low, delimited(7, delimited(1, dims) if dims else b""), *high]


def writable(array: Array) -> np.dtype[Any]:
    """The little-endian type in which an array is written. Raises NetcError E406 if it is not of floats."""
    kinds = {"float16": "<f4", "float32": "<f4", "float64": "<f8"}
    if array.dtype.name not in kinds:
        raise NetcError(f"a blob of type `{array.dtype.name}` cannot be written: Caffe blobs hold floats", code="E406")
    return np.dtype(kinds[array.dtype.name])


def size_of(piece: Piece) -> int:
    """Bytes of a piece in the file."""
    return len(piece) if isinstance(piece, bytes) else piece.size * writable(piece).itemsize


def bytes_of(piece: Piece) -> bytes | memoryview:
    """The bytes of a piece in the file, without a copy if the array is contiguous."""
    if isinstance(piece, bytes):
        return piece
    flat: Array = np.ascontiguousarray(piece, writable(piece)).reshape(-1)
    return flat.view(np.uint8).data


def write_pieces(path: str | os.PathLike[str], pieces: Sequence[Piece]) -> None:
    """Write a message, atomically. Raises NetcError E408."""
    with atomic_write(path, sum(map(size_of, pieces))) as file:
        for piece in pieces:
            file.write(bytes_of(piece))


def nested(number: int, pieces: list[Piece]) -> list[Piece]:
    """The pieces as a length-delimited field."""
    return [tag(number, LENGTH) + varint(sum(map(size_of, pieces))), *pieces]


def _dims(wire: Wire, shape: WireField) -> Iterator[int]:
    """The extents of a BlobShape, packed or not; stops soon after the maximum number of axes."""
    found = 0
    for field in wire.fields(shape.at, shape.end):
        if field.number != 1:
            continue
        if field.wire == VARINT:
            yield signed(field.value, 64)
            found += 1
        at = field.at
        while field.wire == LENGTH and at < field.end and found <= MAX_AXES:
            value, at = wire.varint(at, field.end)
            yield signed(value, 64)
            found += 1
        if found > MAX_AXES:
            return


def _first(*arrays: Array | None) -> Array | None:
    return next((array for array in arrays if array is not None), None)
