"""Writes small LevelDBs by hand, so that the reader's tests need no library."""

from __future__ import annotations

import struct
from pathlib import Path

from netc.data.stores.leveldb_format import MAGIC

Write = tuple[bytes, int, bytes | None]
"""Key, sequence number, value; None deletes."""


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def sized(data: bytes) -> bytes:
    return varint(len(data)) + data


def internal(key: bytes, number: int, kind: int) -> bytes:
    return key + struct.pack("<Q", number << 8 | kind)


def block(pairs: list[tuple[bytes, bytes]], every: int = 3) -> bytes:
    """Entries that share the beginnings of keys, whole again at each restart."""
    out, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + b"".join(struct.pack("<I", r) for r in restarts) + struct.pack("<I", len(restarts))


def snappy(data: bytes) -> bytes:
    """Literals of one to four size bytes, and a copy for a run at the end."""
    out, run = varint(len(data)), len(data) - len(data.rstrip(data[-1:]))
    body = data[: len(data) - run + 1]
    for low in range(0, len(body), 70000):
        part = body[low : low + 70000]
        if len(part) <= 60:
            out += bytes([(len(part) - 1) << 2]) + part
            continue
        width = ((len(part) - 1).bit_length() + 7) // 8
        out += bytes([(59 + width) << 2]) + (len(part) - 1).to_bytes(width, "little") + part
    left = run - 1
    while left > 0:
        size = min(left, 64)
        out += bytes([(size - 1) << 2 | 2]) + struct.pack("<H", 1)
        left -= size
    return out


def table(path: Path, writes: list[Write], compressed: bool, a_block: int = 4) -> tuple[bytes, bytes]:
    """A table file; gives its first and last internal key."""
    pairs = [(internal(k, n, v is not None), v or b"") for k, n, v in sorted(writes, key=lambda w: (w[0], -w[1]))]
    out, index = b"", []

    def add(data: bytes) -> bytes:
        nonlocal out
        packed = snappy(data) if compressed else data
        handle = varint(len(out)) + varint(len(packed))
        out += packed + bytes([compressed]) + bytes(4)
        return handle

    for low in range(0, len(pairs), a_block):
        part = pairs[low : low + a_block]
        index.append((part[-1][0], add(block(part))))
    meta, index_handle = add(block([])), add(block(index))
    path.write_bytes(out + (meta + index_handle).ljust(40, b"\0") + struct.pack("<Q", MAGIC))
    return pairs[0][0], pairs[-1][0]


def log(path: Path, records: list[bytes]) -> None:
    """Records in fragments that never cross a block of 32768 bytes."""
    out = b""
    for record in records:
        first = True
        while True:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += bytes(left)
                continue
            part, record = record[: left - 7], record[left - 7 :]
            kind = (1 if not record else 2) if first else (4 if not record else 3)
            out += bytes(4) + struct.pack("<HB", len(part), kind) + part
            first = False
            if not record:
                break
    path.write_bytes(out)


def batch(number: int, writes: list[tuple[bytes, bytes | None]]) -> bytes:
    out = struct.pack("<QI", number, len(writes))
    for key, value in writes:
        out += bytes([value is not None]) + sized(key) + (b"" if value is None else sized(value))
    return out


def database(path: Path, tables: dict[tuple[int, int], list[Write]], logged: list[bytes], compressed: bool) -> Path:
    """A database of tables by (level, number) and a log."""
    path.mkdir()
    edit = b"\x01" + sized(b"leveldb.BytewiseComparator") + b"\x02" + varint(90) + b"\x03" + varint(99)
    edit += b"\x04" + varint(1 << 20) + b"\x09" + varint(0) + b"\x05\x01" + sized(internal(b"x", 1, 1))
    edit += b"\x07\x00" + varint(7) + varint(10) + sized(internal(b"gone", 1, 1)) + sized(internal(b"gone", 1, 1))
    for (level, number), writes in tables.items():
        first, last = table(path / f"{number:06d}.ldb", writes, compressed)
        edit += b"\x07" + varint(level) + varint(number) + varint(1) + sized(first) + sized(last)
    log(path / "MANIFEST-000005", [edit, b"\x06\x00" + varint(7)])
    (path / "CURRENT").write_text("MANIFEST-000005\n")
    (path / "LOCK").touch()
    log(path / "000080.log", [batch(1, [(b"stale", b"in a table by now")])])
    log(path / "000090.log", logged)
    return path
