"""Protocol buffers' wire format, read field by field over bytes that stay where they are.

A message is a run of fields, each a number, a wire type and a payload. Nothing is known of a schema here: the caller
picks the fields it knows and every other is passed over by its wire type. A strange file costs bounded time and memory.

Source: the encoding page of protobuf's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
WIDTHS = {FIXED64: 8, FIXED32: 4}
"""Bytes of a value of fixed width."""
MAX_DEPTH = 100
"""Groups within groups: protobuf's own limit."""
BUDGET = 1 << 20
"""Work that one file may cause: fields read, and KEPT for everything that stays in memory."""
KEPT = 8
_MASK = (1 << 64) - 1


class WireField(NamedTuple):
    """One field of a message, or a run of equal fields of fixed width."""

    number: int
    wire: int
    start: int
    """Byte of the tag."""
    at: int
    """Byte of the payload; of a length-delimited one, behind the length."""
    end: int
    """Byte behind the field."""
    value: int
    """The number itself (varint), the length in bytes (length-delimited), or how many values stand in a row."""


class Wire:
    """A file's bytes, read as protocol buffers. All methods raise NetcError E403 or E405 with the byte at fault."""

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
        """The number at byte `at`, from 0 to 2**64 - 1, and the byte behind it."""
        value = shift = 0
        for position in range(at, min(at + 10, end)):
            byte = self.data[position]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & _MASK, position + 1
            shift += 7
        if end - at < 10:
            self._short(f"the number at byte {at} does not end", end)
        return self.fail("E403", f"the number at byte {at} is longer than ten bytes")

    def text(self, field: WireField) -> str:
        """A string. What is not UTF-8 (Caffe does not mind) becomes lone surrogates, and goes back as it came."""
        return bytes(self.data[field.at : field.end]).decode("utf-8", "surrogateescape")

    def values(self, field: WireField, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Packed values, or a run of unpacked ones: a view. The payload's size must fit the type's."""
        kind = np.dtype(dtype)
        if field.wire == LENGTH:
            if field.value % kind.itemsize:
                self.fail(
                    "E403", f"field {field.number} at byte {field.start} has {field.value} bytes of {kind.name} values"
                )
            packed: npt.NDArray[Any] = np.ndarray((field.value // kind.itemsize,), kind, self.data, field.at)
            return packed
        if WIDTHS.get(field.wire) != kind.itemsize:
            self.fail("E403", f"field {field.number} at byte {field.start} has wire type {field.wire}, not a float's")
        run: npt.NDArray[Any] = np.ndarray((field.value,), kind, self.data, field.at, (kind.itemsize + 1,))
        return run

    def keep(self) -> None:
        """Account for something that stays in memory."""
        self._spend(KEPT)

    def fail(self, code: str, message: str, help: str | None = None) -> NoReturn:
        """Raise the error, with the file's name and size."""
        raise NetcError(message, code=code, notes=[f"in `{self.name}`, {len(self.data)} bytes"], help=help)

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            self.fail("E405", f"more than {BUDGET} fields, or {BUDGET // KEPT} layers and blobs: not a file of weights")

    def _field(self, at: int, end: int) -> WireField:
        self._spend(1)
        tag, after = self.varint(at, end)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or wire > FIXED32 or wire == END_GROUP:
            self.fail("E403", f"byte {at} starts no field: its number is {number}, its wire type {wire}")
        if wire == VARINT:
            value, stop = self.varint(after, end)
            return WireField(number, wire, at, after, stop, value)
        if wire == GROUP:
            return WireField(number, wire, at, after, self._group_end(number, after, end), 0)
        size, after = self.varint(after, end) if wire == LENGTH else (WIDTHS[wire], after)
        if size > end - after:
            self._short(f"field {number} at byte {at} has {size} bytes, of which {end - after} are there", end)
        return WireField(number, wire, at, after, after + size, size if wire == LENGTH else 1)

    def _group_end(self, number: int, at: int, end: int) -> int:
        """The byte behind the group `number` whose first field is at `at`. No recursion: depth is the file's choice."""
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
                self.fail("E403", f"the group at byte {start} holds more than {MAX_DEPTH} groups within each other")
        return at

    def _run(self, first: WireField, end: int) -> WireField:
        """The field with all equal ones right behind it, found by comparing every fifth (ninth) byte with its tag."""
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

    def _short(self, message: str, end: int) -> NoReturn:
        cut = end == len(self.data)
        self.fail("E403", message, "the file is cut short: fetch or copy it again" if cut else None)


def varint(value: int) -> bytes:
    """A number from -2**63 to 2**64 - 1 as it goes on the wire.

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
    """A field's first bytes."""
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
