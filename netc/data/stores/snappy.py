"""Snappy's raw format, decompressed: what LevelDB's blocks are packed with (google/snappy, format_description.txt)."""

from __future__ import annotations


def decompress(data: memoryview) -> bytes:
    """The unpacked bytes. Raises ValueError for bytes that are not Snappy's.

    >>> decompress(memoryview(bytes([6, 4, 97, 98, 1, 2])))
    b'ababab'
    """
    try:
        size, at = _size(data)
        result = bytearray()
        while at < len(data) and len(result) <= size:
            at = _literal(data, at, result) if data[at] & 3 == 0 else _copy(data, at, result)
    except IndexError:
        raise ValueError("a Snappy block ends inside an element") from None
    if len(result) != size:
        raise ValueError(f"a Snappy block unpacks to {len(result)} bytes, not {size}")
    return bytes(result)


def _size(data: memoryview) -> tuple[int, int]:
    size = shift = at = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
        shift += 7


def _literal(data: memoryview, at: int, result: bytearray) -> int:
    size, at = (data[at] >> 2) + 1, at + 1
    if size > 60:  # the size itself follows, in one to four bytes
        width = size - 60
        size, at = int.from_bytes(data[at : at + width], "little") + 1, at + width
    if at + size > len(data):
        raise IndexError
    result += data[at : at + size]
    return at + size


def _copy(data: memoryview, at: int, result: bytearray) -> int:
    tag = data[at]
    if tag & 3 == 1:
        size, offset, end = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | data[at + 1], at + 2
    else:
        width = 2 if tag & 3 == 2 else 4
        size, end = 1 + (tag >> 2), at + 1 + width
        offset = int.from_bytes(data[at + 1 : end], "little")
    start = len(result) - offset
    if not 0 <= start < len(result) or end > len(data):
        raise ValueError(f"a Snappy block copies from {offset} bytes back, of {len(result)}")
    piece = result[start : start + size]
    if len(piece) < size:  # a copy may reach into what it writes: a pattern repeats
        piece = (piece * (size // len(piece) + 1))[:size]
    result += piece
    return end
