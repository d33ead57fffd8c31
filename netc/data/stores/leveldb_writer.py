"""Writes a LevelDB whose keys come in order: tables in the last level, and the manifest that names them.

Formats from google/leveldb, doc/table_format.md, log_format.md and impl.md. What lies in the last level is never
compacted, so that the original library opens such a database as it stands. Blocks are not compressed: pictures gain
little by it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from netc.data.stores.checksum import masked
from netc.data.stores.leveldb_format import FOOTER, LOG_BLOCK, MAGIC
from netc.weights.wire import varint

BLOCK = 1 << 16
"""Bytes that fill a data block; Caffe asks LevelDB for as many (`db_leveldb.cpp`)."""
TABLE = 1 << 25
"""Bytes that fill a table: few tables are few open files."""
RESTART = 16
"""Entries between keys that are written whole."""
LAST_LEVEL = 6
VALUE = 1
"""The kind of an entry that holds a value."""
MANIFEST, LOG, FIRST_TABLE = 2, 3, 4
"""File numbers."""


class LevelDbWriter:
    """Writes records in the order of their keys into an empty folder; `close` makes them a database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: list[_Written] = []
        self._table: _Table | None = None
        self._count, self._last = 0, b""

    def put(self, key: bytes, value: bytes) -> None:
        """Write a record. Raises ValueError for a key that does not come after the one before, OSError."""
        if self._count and key <= self._last:
            raise ValueError(f"key {key!r} does not come after {self._last!r}")
        self._count, self._last = self._count + 1, key
        if self._table is None:
            number = FIRST_TABLE + len(self._tables)
            self._table = _Table(self._folder / f"{number:06d}.ldb", number)
        self._table.add(key + struct.pack("<Q", self._count << 8 | VALUE), value)
        if self._table.size >= TABLE:
            self._finish_table()

    def close(self) -> None:
        """Write what is left, and the manifest. Raises OSError."""
        self._finish_table()
        name = f"MANIFEST-{MANIFEST:06d}"
        _write(self._folder / name, log_record(self._edit()))
        _write(self._folder / "CURRENT", f"{name}\n".encode())

    def abandon(self) -> None:
        """Close the open file; what was written is no database."""
        if self._table is not None:
            self._table.file.close()

    def _finish_table(self) -> None:
        if self._table is not None:
            self._tables.append(self._table.finish())
            self._table = None

    def _edit(self) -> bytes:
        """The manifest's only record: the order of keys, numbers in use, and the tables."""
        edit = varint(1) + sized(b"leveldb.BytewiseComparator")
        next_file = FIRST_TABLE + len(self._tables)
        for number, value in ((2, LOG), (9, 0), (3, next_file), (4, self._count)):
            edit += varint(number) + varint(value)
        for table in self._tables:
            edit += varint(7) + varint(LAST_LEVEL) + varint(table.number) + varint(table.size)
            edit += sized(table.first) + sized(table.last)
        return edit


class _Written(NamedTuple):
    """A table that is complete."""

    number: int
    size: int
    first: bytes
    last: bytes


class _Block:
    """Entries in order; each key names only what differs from the one before, but at restarts."""

    def __init__(self, restart: int) -> None:
        self._restart, self._pieces = restart, list[bytes]()
        self._restarts, self._count = list[int](), 0
        self.size, self.last = 0, b""

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._count % self._restart:
            shared = common(self.last, key)
        else:
            self._restarts.append(self.size)
        head = varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:]
        self._pieces += [head, value]
        self.size += len(head) + len(value)
        self._count, self.last = self._count + 1, key

    def content(self) -> bytes:
        restarts = self._restarts or [0]
        return b"".join([*self._pieces, struct.pack(f"<{len(restarts)}II", *restarts, len(restarts))])


class _Table:
    """A table being written."""

    def __init__(self, path: Path, number: int) -> None:
        self.number, self.size = number, 0
        self.file: BinaryIO = path.open("wb")
        self._block, self._index = _Block(RESTART), _Block(1)
        self._first = b""

    def add(self, key: bytes, value: bytes) -> None:
        self._first = self._first or key
        self._block.add(key, value)
        if self._block.size >= BLOCK:
            self._finish_block()

    def finish(self) -> _Written:
        if self._block.size:
            self._finish_block()
        footer = self._append(_Block(1).content()) + self._append(self._index.content())
        self.file.write(footer.ljust(FOOTER - 8, b"\0") + struct.pack("<Q", MAGIC))
        _flush(self.file)
        return _Written(self.number, self.size + FOOTER, self._first, self._index.last)

    def _finish_block(self) -> None:
        self._index.add(self._block.last, self._append(self._block.content()))
        self._block = _Block(RESTART)

    def _append(self, content: bytes) -> bytes:
        """Write a block with its trailer; gives where it is."""
        handle = varint(self.size) + varint(len(content))
        content += b"\0"  # not compressed
        self.file.write(content)
        self.file.write(struct.pack("<I", masked(content)))
        self.size += len(content) + 4
        return handle


def sized(data: bytes) -> bytes:
    """Bytes behind their length."""
    return varint(len(data)) + data


def common(one: bytes, other: bytes) -> int:
    """How many bytes two keys begin with alike.

    >>> common(b"00000017_cat", b"00000018_dog")
    7
    """
    count = 0
    for a, b in zip(one, other):
        if a != b:
            break
        count += 1
    return count


def log_record(record: bytes) -> bytes:
    """A log file of one record, cut into fragments that never cross a block."""
    out, first = bytearray(), True
    while record or first:
        left = LOG_BLOCK - len(out) % LOG_BLOCK
        if left < 7:
            out += bytes(left)
            continue
        part, record = record[: left - 7], record[left - 7 :]
        kind = (2 if record else 1) if first else (3 if record else 4)
        out += struct.pack("<IHB", masked(bytes([kind]) + part), len(part), kind) + part
        first = False
    return bytes(out)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        _flush(file, close=False)


def _flush(file: BinaryIO, close: bool = True) -> None:
    """To the disk."""
    file.flush()
    os.fsync(file.fileno())
    if close:
        file.close()
