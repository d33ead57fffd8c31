"""Checks the structure of an LMDB file before the library follows it: liblmdb trusts every offset in a page.

Format of liblmdb 0.9 (`mdb.c`): pages, each with its number, flags, and the bounds of its nodes' offsets; two meta
pages, of which the one with the later transaction is valid; a tree of branch pages over leaf pages.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

Array = npt.NDArray[Any]
HEADER, NODE = 16, 8
"""Bytes before a page's offsets, and before a node's key."""
BRANCH, LEAF = 1, 2
BIG = 1
"""Flag of a node whose value is stored in overflow pages."""
MAGIC = 0xBEEFC0DE
DEEPEST = 32
"""The limit of the library."""
LARGEST = 1 << 16
"""Bytes of the largest page."""
AT_ONCE = 1 << 12
"""Pages checked together."""


def check_pages(path: Path) -> None:
    """Check every page of the tree in a data.mdb. Raises ValueError for an offset outside its page or the file."""
    data = np.memmap(path, np.uint8, "r")
    page_size, depth, root = _meta(data[: 2 * LARGEST].tobytes())
    count = len(data) // page_size
    if not depth:
        return
    if depth > DEEPEST:
        raise ValueError(f"its tree is {depth} levels deep")
    level = np.array([root], np.uint64)
    pages = data[: count * page_size].reshape(count, page_size)
    for height in reversed(range(depth)):
        if len(level) > count or level.max() >= count:
            raise ValueError("its tree refers to pages that do not exist")
        parts = [level[i : i + AT_ONCE].astype(np.int64) for i in range(0, len(level), AT_ONCE)]
        level = np.concatenate([_nodes(pages[part], part, leaf=not height, count=count) for part in parts])


def _meta(data: bytes) -> tuple[int, int, int]:
    """Page size, depth of the tree and number of its root, of the later transaction."""
    (page_size,) = struct.unpack_from("<I", data, HEADER + 24)
    if not 256 <= page_size <= LARGEST or len(data) < 2 * page_size:
        raise ValueError(f"its page size is {page_size} bytes")
    found = []
    for start in (0, page_size):
        magic, _ = struct.unpack_from("<II", data, start + HEADER)
        main = start + HEADER + 24 + 48  # after magic, version, address, map size, and the list of free pages
        (depth,), (root,) = struct.unpack_from("<6xH", data, main), struct.unpack_from("<40xQ", data, main)
        (transaction,) = struct.unpack_from("<56xQ", data, main)
        if magic == MAGIC:
            found.append((transaction, depth, root))
    if not found:
        raise ValueError("it has no meta page")
    _, depth, root = max(found)
    return page_size, depth, root


def _nodes(pages: Array, numbers: Array, leaf: bool, count: int) -> Array:
    """Check pages of one kind; returns the numbers of the pages below branch pages."""
    size = pages.shape[1]
    own = _numbers(pages, np.arange(len(pages)), 0, 8)
    flags, lower, upper = (_numbers(pages, np.arange(len(pages)), at, 2) for at in (10, 12, 14))
    bad = (own != numbers) | (flags & 3 != (LEAF if leaf else BRANCH))
    bad |= (lower <= HEADER) | (lower > upper) | (upper > size) | (lower % 2 != 0)
    if bad.any():
        raise ValueError(f"page {numbers[bad][0]} is not a {'leaf' if leaf else 'branch'} of its tree")
    counts = (lower - HEADER) // 2
    rows = np.repeat(np.arange(len(pages)), counts)
    order = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = _numbers(pages, rows, HEADER + 2 * order, 2)
    outside = (at < upper[rows]) | (at > size - NODE)
    at = np.where(outside, 0, at)
    low, high, kind, key = (_numbers(pages, rows, at + i, 2) for i in (0, 2, 4, 6))
    end = at + NODE + key
    if leaf:
        big, value = kind & BIG != 0, low | high << 16
        outside |= end + np.where(big, 8, value) > size
        first = _numbers(pages, rows, np.where(outside | ~big, 0, end), 8)
        outside |= big & ((first < 0) | (first > count - (HEADER + value + size - 1) // size))
    else:
        outside |= end > size
    if outside.any():
        raise ValueError(f"page {numbers[rows[outside]][0]} refers to bytes outside it")
    return np.empty(0, np.uint64) if leaf else (low | high << 16 | kind << 32).astype(np.uint64)


def _numbers(pages: Array, rows: Array, at: Any, size: int) -> Array:
    """Little-endian integers of `size` bytes at offset `at` in rows of pages; those beyond 63 bits are negative."""
    places = np.broadcast_to(np.asarray(at), rows.shape)
    number = np.zeros(rows.shape, np.int64)
    for i in range(size):
        number |= pages[rows, places + i].astype(np.int64) << 8 * i
    return number
