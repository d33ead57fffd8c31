"""Caffe's database record, parsed directly from its bytes.

A Datum is a protobuf message of seven fields (`caffe.proto`): channels, height, width, data, label,
float_data, encoded. Parsing it as a message copies the image and costs more than all other work of a reader,
so the few fields are read from the wire here, and the image stays a view of the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.weights.wire import tag, varint

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.float32]
_FLOAT_TAG = 6 << 3 | 5
Extents = tuple[int, int, int]


class Datum(NamedTuple):
    """One record; `data` and `floats` are views, valid as long as the buffer that they were read from."""

    channels: int = 0
    height: int = 0
    width: int = 0
    data: memoryview = memoryview(b"")
    label: int = 0
    floats: Floats | None = None
    encoded: bool = False
    start: int = 0
    """Where `data` begins in the record."""


def read_datum(buffer: Any) -> Datum:
    """The record in `buffer` (bytes or a memoryview of bytes). Raises ValueError for bytes that are not a Datum.

    Unknown fields (of forks) are skipped; the last of several values of a scalar counts, as in protobuf.

    >>> read_datum(bytes([8, 1, 16, 2, 24, 2, 34, 4, 9, 8, 7, 6, 40, 3])).label
    3
    """
    view = memoryview(buffer)
    numbers, data, start, floats = [0] * 8, memoryview(b""), 0, []
    at, end = 0, len(view)
    try:
        while at < end:
            tag, at = view[at], at + 1
            if tag == 4 << 3 | 2:
                data, at = _piece(view, at)
                start = at - len(data)
            elif tag & 7 == 0 and 0 < tag < 8 << 3:
                value: int = view[at]
                numbers[tag >> 3], at = (value, at + 1) if value < 0x80 else _varint(view, at)
            elif tag >> 3 == 6:
                run, at = _floats(view, at, tag & 7)
                floats.append(run)
            else:
                at = _skip(view, at - 1)
    except IndexError:
        raise ValueError(f"the record of {end} bytes ends inside a field") from None
    joined = (floats[0] if len(floats) == 1 else np.concatenate(floats)) if floats else None
    if max(numbers) >> 31:
        numbers = list(map(_signed, numbers))
    return Datum(numbers[1], numbers[2], numbers[3], data, numbers[5], joined, bool(numbers[7]), start)


def is_annotated(value: Any) -> bool:
    """Whether a record begins as an AnnotatedDatum, a message with a Datum in its first field.

    >>> is_annotated(write_datum((1, 1, 1), b"x")), is_annotated(bytes([10, 0]))
    (False, True)
    """
    return len(value) > 0 and value[0] == tag(1, 2)[0]


def read_alike(values: Sequence[Any]) -> tuple[Extents, bytearray, list[int]] | None:
    """Extents, images and labels of raw records (bytes or memoryviews) that differ in images and labels only.

    Only the first is parsed; the bytes before the image of the others are compared with it. Returns None for records
    that are not alike. Raises ValueError if a parsed one is not a Datum.

    >>> one, two = (write_datum((1, 1, 2), bytes([i, i]), i, encoded=False) for i in (8, 9))
    >>> extents, images, labels = read_alike([one, two])
    >>> extents, list(images), labels
    ((1, 1, 2), [8, 8, 9, 9], [8, 9])
    """
    first = memoryview(values[0])
    datum = read_datum(first)
    start, end = datum.start, datum.start + len(datum.data)
    if start == end or datum.encoded or read_datum(first[:end]).label:
        return None
    head, images, labels, known = bytes(first[:start]), [], [], dict[bytes, int | None]()
    for value in values:
        if len(value) < end or value[:start] != head:
            return None
        tail = bytes(value[end:])
        if tail not in known:
            known[tail] = _only_label(tail)
        label = known[tail]
        if label is None:
            return None
        images.append(value[start:end])
        labels.append(label)
    return (datum.channels, datum.height, datum.width), bytearray().join(images), labels


def _only_label(tail: bytes) -> int | None:
    """The label in the bytes after the image; None if they hold anything else."""
    datum = read_datum(tail)
    return datum.label if datum == Datum(label=datum.label) else None


def write_datum(
    shape: Extents | None = None,
    data: bytes | memoryview | None = None,
    label: int | None = None,
    floats: Floats | None = None,
    encoded: bool | None = None,
) -> bytes:
    """The bytes of a record as protobuf writes them: fields in the order of their numbers, without those that are None.

    `shape` is (channels, height, width).

    >>> read_datum(write_datum((1, 2, 2), bytes(4), 3, encoded=False)).label
    3
    """
    numbers = zip((1, 2, 3), shape or ())
    pieces = [tag(number, 0) + varint(value) for number, value in numbers]
    if data is not None:
        pieces += [tag(4, 2) + varint(len(data)), data]  # type: ignore[list-item]
    if label is not None:
        pieces.append(tag(5, 0) + varint(label))
    if floats is not None:
        run = np.empty((floats.size, 5), np.uint8)
        run[:, 0] = _FLOAT_TAG
        run[:, 1:] = np.ascontiguousarray(floats, "<f4").reshape(-1, 1).view(np.uint8)
        pieces.append(run.tobytes())
    if encoded is not None:
        pieces.append(tag(7, 0) + varint(encoded))
    return b"".join(pieces)


def _piece(view: memoryview, at: int) -> tuple[memoryview, int]:
    """A length-delimited payload, and the offset after it."""
    size, at = _varint(view, at)
    if size > len(view) - at:
        raise ValueError(f"{size} bytes from byte {at} on reach past the end of a record of {len(view)} bytes")
    return view[at : at + size], at + size


def _floats(view: memoryview, at: int, wire: int) -> tuple[Floats, int]:
    if wire == 5:
        return _float_run(view, at - 1)
    if wire != 2:
        raise ValueError(f"field 6 has wire type {wire}, which a Datum does not use")
    piece, at = _piece(view, at)
    return np.frombuffer(piece, "<f4"), at


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    byte: int = view[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while shift < 70:
        at += 1
        byte = view[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise ValueError(f"the number at byte {at} is longer than ten bytes")


def _skip(view: memoryview, at: int) -> int:
    """The offset after an unknown field."""
    tag, at = _varint(view, at)
    field, wire = tag >> 3, tag & 7
    if wire == 0:
        return _varint(view, at)[1]
    if wire == 2:
        return _piece(view, at)[1]
    size = {1: 8, 5: 4}.get(wire)
    if size is None or not field:
        raise ValueError(f"field {field} has wire type {wire}, which a Datum does not use")
    if at + size > len(view):
        raise ValueError(f"the record of {len(view)} bytes ends inside field {field}")
    return at + size


def _float_run(view: memoryview, at: int) -> tuple[Floats, int]:
    """The consecutive unpacked floats from `at`, each after its tag, and the offset after them."""
    whole = (len(view) - at) // 5
    items = np.frombuffer(view[at : at + whole * 5], np.uint8).reshape(whole, 5)
    other = np.flatnonzero(items[:, 0] != _FLOAT_TAG)
    count = int(other[0]) if len(other) else whole
    if not count:
        raise ValueError(f"the record of {len(view)} bytes ends inside field 6")
    return np.ascontiguousarray(items[:count, 1:]).view("<f4").reshape(count), at + count * 5


def _signed(value: int) -> int:
    """An int32 as protobuf writes it: negative numbers as 64 bits."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
