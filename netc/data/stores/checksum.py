"""CRC-32C (Castagnoli), which guards LevelDB's files: RFC 3720, appendix B.4; LevelDB's doc/log_format.md for the mask.

A plain loop over bytes takes minutes for a database. The checksum is linear, so that many short lanes of the data can
be summed side by side, and their sums joined in a tree.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
POLYNOMIAL = 0x82F63B78
"""Reflected: the lowest bit is the highest power."""
LANE = 64
"""Bytes a lane."""


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of some bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(data) < 8 * LANE:
        return _plain(data)
    padding = -len(data) % LANE
    padded = np.zeros(padding + len(data), np.uint8)  # zeros ahead leave an empty sum empty
    padded[padding:] = np.frombuffer(data, np.uint8)
    padded[padding : padding + 4] ^= 0xFF  # the sum starts as all ones, which is the same
    return _joined(_lanes(padded.reshape(-1, LANE))) ^ 0xFFFFFFFF


def masked(data: bytes | memoryview) -> int:
    """The checksum as LevelDB stores it: turned and shifted, since sums of sums are weak."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _plain(data: bytes | memoryview) -> int:
    table = _table().tolist()
    value = 0xFFFFFFFF
    for byte in bytes(data):
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@functools.cache
def _table() -> Words:
    """What each byte does to the sum."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ np.uint32(POLYNOMIAL), values >> 1)
    return values


def _lanes(lanes: npt.NDArray[np.uint8]) -> Words:
    """The sum of each row, from nothing."""
    table = _table()
    sums: Any = np.zeros(len(lanes), np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        sums = table[(sums ^ column) & 0xFF] ^ sums >> 8
    return sums  # type: ignore[no-any-return]


def _joined(sums: Words) -> int:
    """The sum of all lanes: each of a pair moves as far as the other is long."""
    level = 0
    while len(sums) > 1:
        if len(sums) % 2:
            sums = np.concatenate([np.zeros(1, np.uint32), sums])
        sums = _moved(sums[::2], _operator(level)) ^ sums[1::2]
        level += 1
    return int(sums[0])


@functools.cache
def _operator(level: int) -> Words:
    """What `LANE << level` zero bytes do to each byte of a sum (4, 256)."""
    if level:
        half = _operator(level - 1)
        return _moved(half, half)
    sums = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(LANE):
        sums = _table()[sums & 0xFF] ^ sums >> 8
    return sums


def _moved(sums: Words, operator: Words) -> Words:
    parts = (operator[i][sums >> np.uint32(8 * i) & 0xFF] for i in range(4))
    return functools.reduce(np.bitwise_xor, parts)
