"""The size that an image file declares, read before memory is allocated for it.

A file of a few hundred bytes may declare an image of gigabytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from netc.files import MAX_DEFLATE
from netc.ir.transform import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel by the color type of a PNG."""
_NO_FRAMES = frozenset((0xC4, 0xC8, 0xCC))
"""JPEG markers in the range of the frame headers (0xC0 to 0xCF) that are not frame headers."""
_PNM = re.compile(rb"P[1-6]\s(?:#.*\n|\s)*(\d+)\s(?:#.*\n|\s)*(\d+)\s")


def check_declared(data: memoryview) -> None:
    """Raises ValueError for an image that declares more pixels than MAX_PIXELS, or than a PNG of its size can hold."""
    size = declared_size(data)
    if size is None:
        return
    check_size(*size)
    if bytes(data[:4]) == b"\x89PNG" and _png_bytes(data, *size) > MAX_DEFLATE * len(data):
        raise ValueError(f"an image of {size[0]}x{size[1]} pixels cannot be stored in {len(data)} bytes")


def check_size(height: int, width: int) -> None:
    """Raises ValueError for an image, read or resized, of more than MAX_PIXELS."""
    if height * width > MAX_PIXELS:
        raise ValueError(f"an image of {height}x{width} pixels is larger than the limit of {MAX_PIXELS:,} pixels")


def declared_size(data: memoryview) -> tuple[int, int] | None:
    r"""Height and width in the header of a PNG, JPEG, BMP, GIF, WebP, TIFF, PNM or JPEG 2000; None if there are none.

    >>> declared_size(memoryview(b"P5 # gray\n640 480 255 "))
    (480, 640)
    """
    head = bytes(data[:256])
    for magic, read in _READERS:
        if head.startswith(magic):
            return read(data)
    if found := _PNM.match(head):
        return int(found[2]), int(found[1])
    at = head.find(b"ihdr")  # a box of JPEG 2000
    return (_big(data, at + 4, 4), _big(data, at + 8, 4)) if at > 0 else None


def _png(data: memoryview) -> tuple[int, int] | None:
    return (_big(data, 20, 4), _big(data, 16, 4)) if bytes(data[12:16]) == b"IHDR" else None


def _png_bytes(data: memoryview, height: int, width: int) -> int:
    """Bytes of the decompressed rows of a PNG, without the filter types."""
    depth, color = bytes(data[24:26]) if len(data) > 25 else (8, 0)
    return height * ((width * depth * _SAMPLES.get(color, 1) + 7) // 8)


def _jpeg(data: memoryview) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            return _big(data, at + 5, 2), _big(data, at + 7, 2)
        at += 1 if marker == 0xFF else 2 + _big(data, at + 2, 2)  # 0xff may be repeated before a marker
    return None


def _bmp(data: memoryview) -> tuple[int, int]:
    if _little(data, 14, 4) == 12:
        return _little(data, 20, 2), _little(data, 18, 2)
    return abs(_little(data, 22, 4, signed=True)), _little(data, 18, 4)


def _gif(data: memoryview) -> tuple[int, int]:
    return _little(data, 8, 2), _little(data, 6, 2)


def _riff(data: memoryview) -> tuple[int, int] | None:
    kind = bytes(data[12:16])
    if bytes(data[8:12]) != b"WEBP":
        return None
    if kind == b"VP8X":
        return _little(data, 27, 3) + 1, _little(data, 24, 3) + 1
    if kind == b"VP8L":
        bits = _little(data, 21, 4)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return _little(data, 28, 2) & 0x3FFF, _little(data, 26, 2) & 0x3FFF


def _tiff(data: memoryview) -> tuple[int, int] | None:
    order: Any = "little" if bytes(data[:1]) == b"I" else "big"
    at = _number(data, 4, 4, order)
    sizes = dict[int, int]()
    for entry in range(at + 2, at + 2 + 12 * _number(data, at, 2, order), 12):
        tag, kind = _number(data, entry, 2, order), _number(data, entry + 2, 2, order)
        if tag in (256, 257):
            sizes[tag] = _number(data, entry + 8, 2 if kind == 3 else 4, order)
    return (sizes[257], sizes[256]) if len(sizes) == 2 else None


_READERS: tuple[tuple[bytes, Callable[[memoryview], tuple[int, int] | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8", _jpeg),
    (b"BM", _bmp),
    (b"GIF8", _gif),
    (b"RIFF", _riff),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
"""Readers of headers by the first bytes of the file."""


def _big(data: memoryview, at: int, size: int) -> int:
    return _number(data, at, size, "big")


def _little(data: memoryview, at: int, size: int, signed: bool = False) -> int:
    return int.from_bytes(data[at : at + size], "little", signed=signed)


def _number(data: memoryview, at: int, size: int, order: Any) -> int:
    return int.from_bytes(data[at : at + size], order)
