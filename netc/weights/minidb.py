"""Caffe2's minidb: a file of records, each of two lengths (int32), a key and a value.

A predictor's database has a MetaNetDef under META, then its parameters; every value is a BlobProto.
Source: `minidb.cc`, `predictor_exporter.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.weights.wire import Wire

META = "!!META_NET_DEF"
"""The key of a predictor's nets."""
HEAD = 8
"""Bytes of the two lengths."""
MAX_KEY = 1 << 16
"""Limit of the bytes of a key; names of blobs are far shorter."""
_FIRST_TAGS = (0x0A, 0x12)
"""What a BlobProto begins with: its name or its type."""


class DatabaseRecord(NamedTuple):
    """One record: its key, and where its value is."""

    key: str
    at: int
    end: int


def records(wire: Wire) -> Iterator[DatabaseRecord]:
    """The records of a database in order. Raises NetcError E403 for a damaged or truncated one, E405 for too many."""
    at, size = 0, len(wire.data)
    while at < size:
        wire.keep()
        if size - at < HEAD:
            wire.short(f"the record at byte {at} has only {size - at} of its first {HEAD} bytes", size)
        key, value = lengths(wire.data, at)
        if not 0 <= key <= MAX_KEY or value < 0:
            wire.fail("E403", f"no record starts at byte {at}: key of {key} bytes, value of {value}")
        start = at + HEAD + key
        if key + value > size - at - HEAD:
            left = size - at - HEAD
            wire.short(f"the record at byte {at} has {key + value} bytes, of which only {left} are present", size)
        name = bytes(wire.data[at + HEAD : start]).decode("utf-8", "surrogateescape")
        yield DatabaseRecord(name, start, start + value)
        at = start + value


def lengths(data: memoryview, at: int = 0) -> tuple[int, int]:
    """The lengths of the key and the value of the record at a byte, as signed numbers."""
    first, second = data[at : at + 4], data[at + 4 : at + HEAD]
    return int.from_bytes(first, "little", signed=True), int.from_bytes(second, "little", signed=True)


def is_minidb(data: memoryview) -> bool:
    """Whether the content starts with a record whose value is a message; the file may be truncated."""
    key, value = lengths(data) if len(data) > HEAD else (0, 0)
    if not (0 < key <= MAX_KEY and value > 0 and HEAD + key < len(data)):
        return False
    name = bytes(data[HEAD : HEAD + key])
    return b"\0" not in name and data[HEAD + key] in _FIRST_TAGS
