"""Protocol buffers' wire format, read field by field without copying the bytes.

A message is a sequence of fields, each with a number, a wire type and a payload. There is no schema: the caller selects
the fields that it knows, and the others are skipped by their wire type. Time and memory are bounded for any file.

Source: the encoding page of protobuf's documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
WIDTHS = {FIXED64: 8, FIXED32: 4}
"""Bytes of a value, by wire type of fixed width."""
MAX_DEPTH = 100
"""Limit of nested groups, that of protobuf."""
BUDGET = 1 << 20
"""Limit of the work for one file: 1 for each field read, and KEPT for each item kept in memory."""
KEPT = 8
_MASK = (1 << 64) - 1
_BLOCK = 1 << 16
"""Bytes of packed numbers that are decoded at once."""


class WireField(NamedTuple):
    """One field of a message, or consecutive fields of the same number and fixed width."""

    number: int
    wire: int
    start: int
    """Offset of the tag."""
    at: int
    """Offset of the payload; for a length-delimited field, after the length."""
    end: int
    """Offset after the field."""
    value: int
    """The number itself (varint), the length in bytes (length-delimited), or the number of consecutive values."""


class Wire:
    """A file's bytes, read as protocol buffers. Methods raise NetcError E403 or E405, with the offset of the error."""

    def __init__(self, data: memoryview, name: str) -> None:
        self.data = data
        self.name = name
        self._left = BUDGET

    def fields(self, start: int, end: int) -> Iterator[WireField]:
        """The fields of the message in bytes `start` to `end`, in order."""
        at = start
        while at < end:
            field = self._field(at, end)
            if field.wire in WIDTHS and field.at == at + 1:
                field = self._run(field, end)
            yield field
            at = field.end

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at byte `at`, from 0 to 2**64 - 1, and the offset after it."""
        value = shift = 0
        for position in range(at, min(at + 10, end)):
            byte = self.data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & _MASK, position + 1
            shift += 7
        if end - at < 10:
            self.short(f"the number at byte {at} does not end", end)
        return self.fail("E403", f"the number at byte {at} is longer than ten bytes")

    def text(self, field: WireField) -> str:
        """A string. Bytes that are not UTF-8, which Caffe accepts, become lone surrogates, so that none is lost."""
        return bytes(self.data[field.at : field.end]).decode("utf-8", "surrogateescape")

    def values(self, field: WireField, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A view of packed values, or of consecutive unpacked ones. Raises NetcError E403 for a wrong size."""
        kind = np.dtype(dtype)
        if field.wire == LENGTH:
            if field.value % kind.itemsize:
                self.fail(
                    "E403",
                    f"field {field.number} at byte {field.start} has {field.value} bytes, "
                    f"not a multiple of the {kind.itemsize} bytes of a {kind.name}",
                )
            packed: npt.NDArray[Any] = np.ndarray((field.value // kind.itemsize,), kind, self.data, field.at)
            return packed
        if WIDTHS.get(field.wire) != kind.itemsize:
            self.fail(
                "E403", f"field {field.number} at byte {field.start} has wire type {field.wire}, not that of a float"
            )
        run: npt.NDArray[Any] = np.ndarray((field.value,), kind, self.data, field.at, (kind.itemsize + 1,))
        return run

    def varints(self, field: WireField, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The numbers of a packed field, or the number of a single one, converted to a type as C converts them.

        Raises NetcError E403 for a number that does not end or is longer than ten bytes.
        """
        if field.wire == VARINT:
            return np.array([field.value], np.uint64).astype(np.int64).astype(dtype)
        if field.wire != LENGTH:
            self.fail("E403", f"field {field.number} at byte {field.start} has wire type {field.wire}, not a number's")
        data: npt.NDArray[np.uint8] = np.ndarray((field.value,), np.uint8, self.data, field.at)
        if len(data) and data[-1] >= 0x80:
            self.short(f"the number before byte {field.end} does not end", field.end)
        blocks = range(0, len(data), _BLOCK)
        found = np.empty(sum(int(np.count_nonzero(data[at : at + _BLOCK] < 0x80)) for at in blocks), dtype)
        count = at = 0
        while at < len(data):
            block = data[at : at + _BLOCK]
            ends = np.flatnonzero(block < 0x80)
            values = self._decoded(block, ends, field.at + at)
            found[count : count + len(values)] = values.view(np.int64).astype(dtype)
            count, at = count + len(values), at + int(ends[-1]) + 1
        return found

    def _decoded(self, data: npt.NDArray[np.uint8], ends: npt.NDArray[np.intp], at: int) -> npt.NDArray[np.uint64]:
        """The numbers whose last bytes are at `ends` of `data`, which begins at byte `at` of the file."""
        starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
        lengths = ends - starts + 1
        longest = int(lengths.max()) if len(ends) else len(data)
        if longest > 10:
            self.fail("E403", f"a number after byte {at} is longer than ten bytes")
        values = np.zeros(len(ends), np.uint64)
        for place in range(longest):
            has = lengths > place
            values[has] |= (data[starts[has] + place] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * place)
        return values

    def keep(self) -> None:
        """Count an item that is kept in memory toward the limit."""
        self._spend(KEPT)

    def fail(self, code: str, message: str, help: str | None = None) -> NoReturn:
        """Raise the error, with the file's name and size."""
        raise NetcError(message, code=code, notes=[f"in `{self.name}`, {len(self.data)} bytes"], help=help)

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            self.fail("E405", f"more than {BUDGET} fields, or {BUDGET // KEPT} layers and blobs: not a weight file")

    def _field(self, at: int, end: int) -> WireField:
        self._spend(1)
        tag, after = self.varint(at, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or wire > FIXED32 or wire == END_GROUP:
            self.fail("E403", f"no field starts at byte {at}: number {number}, wire type {wire}")
        if wire == VARINT:
            value, stop = self.varint(after, end)
            return WireField(number, wire, at, after, stop, value)
        if wire == GROUP:
            return WireField(number, wire, at, after, self._group_end(number, after, end), 0)
        size, after = self.varint(after, end) if wire == LENGTH else (WIDTHS[wire], after)
        if size > end - after:
            self.short(f"field {number} at byte {at} has {size} bytes, of which only {end - after} are present", end)
        return WireField(number, wire, at, after, after + size, size if wire == LENGTH else 1)

    def _group_end(self, number: int, at: int, end: int) -> int:
        """The offset after group `number` with its first field at `at`; not recursive: the file sets the depth."""
        start, open_groups = at, [number]
        while open_groups:
            tag, after = self.varint(at, end)
            if tag & 7 == END_GROUP:
                if tag >> 3 != open_groups.pop():
                    self.fail("E403", f"the end of group {tag >> 3} at byte {at} closes another group")
                at = after
            elif tag & 7 == GROUP:
                self._spend(1)
                open_groups.append(tag >> 3)
                at = after
            else:
                at = self._field(at, end).end
            if len(open_groups) > MAX_DEPTH:
                self.fail("E403", f"groups at byte {start} are nested more than {MAX_DEPTH} deep")
        return at

    def _run(self, first: WireField, end: int) -> WireField:
        """The field with all that follow with the same tag, found by comparing every fifth (ninth) byte with it."""
        tag, step = self.data[first.start], WIDTHS[first.wire] + 1
        if first.end >= end or self.data[first.end] != tag:
            return first
        most = (end - first.start) // step
        tags = np.ndarray((most,), np.uint8, self.data, first.start, (step,))
        count, block = 1, 64
        while count < most:
            differ = tags[count : count + block] != tag
            if differ.any():
                count += int(differ.argmax())
                break
            count, block = min(count + block, most), block * 4
        return first._replace(end=first.start + count * step, value=count)

    def short(self, message: str, end: int) -> NoReturn:
        cut = end == len(self.data)
        self.fail("E403", message, "the file is truncated: download or copy it again" if cut else None)


def varint(value: int) -> bytes:
    """The varint encoding of a number from -2**63 to 2**64 - 1.

    >>> varint(300).hex(), len(varint(-1))
    ('ac02', 10)
    """
    value &= _MASK
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tag(number: int, wire: int) -> bytes:
    """The tag of a field."""
    return varint(number << 3 | wire)


def delimited(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return tag(number, LENGTH) + varint(len(payload)) + payload


def signed(value: int, bits: int) -> int:
    """The two's complement number in the low `bits` of a varint.

    >>> signed(0xFFFFFFFFFFFFFFFF, 32)
    -1
    """
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
