"""LevelDB's files, read: blocks, tables, logs and the manifest.

Formats from google/leveldb, doc/table_format.md, log_format.md and impl.md. All raise ValueError, IndexError or
struct.error for bytes that are no such file. Checksums are not verified.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from netc.data.stores.snappy import decompress

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5
"""Behind each block: how it is compressed, and a checksum."""
LOG_BLOCK = 32768
DELETION = 0
"""The kind of an entry that says: this key is gone."""


class TableEntry(NamedTuple):
    """One version of one key; of several the one with the highest number holds."""

    key: bytes
    number: int
    kind: int
    value: memoryview


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def piece(data: memoryview, at: int) -> tuple[memoryview, int]:
    """Bytes behind their length, and where they end."""
    size, at = varint(data, at)
    if at + size > len(data):
        raise ValueError(f"{size} bytes reach past the end")
    return data[at : at + size], at + size


def pairs(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a block; each key names only what differs from the one before."""
    restarts = struct.unpack_from("<I", block, len(block) - 4)[0]
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = varint(block, at)
        rest, at = varint(block, at)
        size, at = varint(block, at)
        if at + rest + size > end or shared > len(key):
            raise ValueError("an entry reaches past its block")
        key = key[:shared] + bytes(block[at : at + rest])
        yield key, block[at + rest : at + rest + size]
        at += rest + size


def entries(block: memoryview) -> Iterator[TableEntry]:
    """The entries of a data block: a key ends in eight bytes of number and kind."""
    for key, value in pairs(block):
        tail = int.from_bytes(key[-8:], "little")
        yield TableEntry(key[:-8], tail >> 8, tail & 0xFF, value)


class Table:
    """A table file: sorted entries in blocks, found by an index."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            footer = file.seek(0, 2) - FOOTER
            if footer < 0:
                raise ValueError(f"{path.name} is too short for a table")
            self.size = footer + FOOTER
            tail = memoryview(_at(file, footer, FOOTER))
            if struct.unpack_from("<Q", tail, FOOTER - 8)[0] != MAGIC:
                raise ValueError(f"{path.name} is no table")
            _, at = self._handle(tail, 0)
            _, at = self._handle(tail, at)
            handle, _ = self._handle(tail, self._handle(tail, 0)[1])
            index = list(pairs(self._block(file, handle)))
        self.last_keys = [key[:-8] for key, _ in index]
        self.handles = [self._handle(value, 0)[0] for _, value in index]

    @staticmethod
    def _handle(data: memoryview, at: int) -> tuple[tuple[int, int], int]:
        offset, at = varint(data, at)
        size, at = varint(data, at)
        return (offset, size), at

    def _block(self, file: object, handle: tuple[int, int]) -> memoryview:
        offset, size = handle
        if offset + size + TRAILER > self.size:
            raise ValueError(f"{self.path.name} has a block past its end")
        data = memoryview(_at(file, offset, size + 1))
        if data[size] > 1:
            raise ValueError(f"{self.path.name} has a block of unknown compression {data[size]}")
        return memoryview(decompress(data[:size])) if data[size] else data[:size]

    def block(self, number: int) -> list[TableEntry]:
        """The entries of one block."""
        with self.path.open("rb") as file:
            return list(entries(self._block(file, self.handles[number])))

    def __iter__(self) -> Iterator[TableEntry]:
        for number in range(len(self.handles)):
            yield from self.block(number)

    def first_block(self, key: bytes) -> int:
        """The first block that can hold a key."""
        return bisect.bisect_left(self.last_keys, key)


def _at(file: object, offset: int, size: int) -> bytes:
    file.seek(offset)  # type: ignore[attr-defined]
    data: bytes = file.read(size)  # type: ignore[attr-defined]
    return data


def log_records(path: Path) -> Iterator[bytes]:
    """The records of a log, put together from their fragments; a record that was not written to its end is left out."""
    data, at, parts = memoryview(path.read_bytes()), 0, b""
    while at + 7 <= len(data):
        left = LOG_BLOCK - at % LOG_BLOCK
        if left < 7:
            at += left
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        body = bytes(data[at + 7 : at + 7 + size])
        if kind == 0 or len(body) < size:
            return
        parts = body if kind in (1, 2) else parts + body
        if kind in (1, 4):
            yield parts
        at += 7 + size


def batch_entries(record: bytes) -> Iterator[TableEntry]:
    """The entries of one write, as the log keeps it."""
    data = memoryview(record)
    number, count = struct.unpack_from("<QI", data)
    at = 12
    for i in range(count):
        kind, (key, at) = data[at], piece(data, at + 1)
        value = memoryview(b"")
        if kind != DELETION:
            value, at = piece(data, at)
        yield TableEntry(bytes(key), number + i, kind, value)


class Manifest:
    """What a database consists of: tables by level, and the logs that hold later writes."""

    def __init__(self, path: Path) -> None:
        self.tables: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        """(level, file number) to first and last key."""
        self.log_number = self.previous_log = 0
        self.comparator = b"leveldb.BytewiseComparator"
        self._next_file = 0
        for record in log_records(path):
            self._edit(memoryview(record))
        if not self._next_file:
            raise ValueError(f"{path.name} is incomplete")

    def _edit(self, data: memoryview) -> None:
        at = 0
        while at < len(data):
            tag, at = varint(data, at)
            if tag == 1:
                name, at = piece(data, at)
                self.comparator = bytes(name)
            elif tag in (2, 3, 4, 9):
                number, at = varint(data, at)
                self.log_number = number if tag == 2 else self.log_number
                self.previous_log = number if tag == 9 else self.previous_log
                self._next_file = number if tag == 3 else self._next_file
            elif tag in (5, 6, 7):
                at = self._file(tag, data, at)
            else:
                raise ValueError(f"the manifest has an unknown tag {tag}")

    def _file(self, tag: int, data: memoryview, at: int) -> int:
        level, at = varint(data, at)
        if tag == 5:  # where the next compaction goes on
            return piece(data, at)[1]
        number, at = varint(data, at)
        if tag == 6:
            self.tables.pop((level, number), None)
            return at
        _, at = varint(data, at)
        first, at = piece(data, at)
        last, at = piece(data, at)
        self.tables[level, number] = bytes(first[:-8]), bytes(last[:-8])
        return at
