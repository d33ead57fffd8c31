"""Label maps: images whose pixels are indices of classes, or gray images of edges."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from netc.data.images import IMREAD_GRAYSCALE, IMREAD_UNCHANGED, Image, decode
from netc.data.images import planes as planes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
PALETTE = 3
"""The color type of a PNG whose pixels are indices of a palette."""


def decode_indices(data: memoryview) -> Image:
    """The indices (1, h, w) of a label map; those of a palette are not replaced by its colors.

    Raises ValueError as `decode` does, and for an image with colors.
    """
    indexed = without_palette(bytes(data))
    if indexed is not None:
        bare, depth = indexed
        # OpenCV spreads gray values of fewer than 8 bits over the range of a byte.
        return decode(memoryview(bare), IMREAD_UNCHANGED) // (255 // ((1 << depth) - 1))
    planes = decode(data, IMREAD_UNCHANGED)
    if len(planes) > 2 and ((planes[0] != planes[1]) | (planes[0] != planes[2])).any():
        raise ValueError("the label map has colors: its pixels must be gray or indices of a palette")
    return planes[:1]


def decode_gray(data: memoryview) -> Image:
    """A gray image (1, h, w). Raises ValueError as `decode` does."""
    return decode(data, IMREAD_GRAYSCALE)


def resized(plane: Image, size: tuple[int, int] | None, nearest: bool = True) -> Image:
    """A map (1, h, w) in another height and width, from its nearest pixels or bilinearly; None keeps the size."""
    import cv2

    if size is None or plane.shape[1:] == size:
        return plane
    mode = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return planes_of(cv2.resize(np.ascontiguousarray(plane[0]), (size[1], size[0]), interpolation=mode))


def without_palette(data: bytes) -> tuple[bytes, int] | None:
    """The PNG as a gray one, whose values are the indices, and its bits per pixel; None for other images.

    Raises ValueError for a PNG that ends early.
    """
    if data[:8] != PNG or data[12:16] != b"IHDR" or len(data) < 33 or data[25] != PALETTE:
        return None
    header = data[16:25] + b"\0" + data[26:29]
    kept = [_chunk(b"IHDR", header), *(data[low:high] for kind, low, high in _chunks(data) if kind == b"IDAT")]
    return b"".join((PNG, *kept, _chunk(b"IEND", b""))), data[24]


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk of a PNG, and where it begins and ends."""
    at = len(PNG)
    while at < len(data):
        if len(data) < at + 12:
            raise ValueError(f"the image of {len(data)} bytes ends early")
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        if end > len(data):
            raise ValueError(f"the image of {len(data)} bytes ends early")
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
