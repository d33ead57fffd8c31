"""Files of floating point numbers: Middlebury's .flo, FlowNet2's .float3 (`output.cpp`), and .pfm.

The header is read first, and its extents are compared with the size of the file before memory is allocated for them.
"""

from __future__ import annotations

import math
import os
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from netc.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from netc.data.batch import Shape

Planes = npt.NDArray[np.float32]
LARGEST = 1 << 30
"""Bytes of the largest file."""
_HEADER = 1 << 10
"""Bytes that hold the header of a valid file."""
_LINES = re.compile(rb"float\n3\n *(\d{1,10})\n *(\d{1,10})\n *(\d{1,10})\n|float\n2\n *(\d{1,10})\n *(\d{1,10})\n")
_PFM = re.compile(rb"(P[Ff])\s+(\d{1,10})\s+(\d{1,10})\s+(-?)[\d.]{1,32}(?:[eE][+-]?\d{1,3})?\s")
"""A negative scale means little-endian numbers."""


@dataclass(frozen=True)
class FloatFile:
    """A file whose header was read."""

    path: Path
    shape: Shape
    """Channels, height and width."""
    offset: int
    """Bytes of the header."""
    interleaved: bool
    """Whether the channels of a pixel are next to each other."""
    dtype: str = "<f4"
    """The byte order."""
    flipped: bool = False
    """Whether the last row comes first."""

    def read(self) -> Planes:
        """Return the numbers (c, h, w). Raises OSError, and ValueError for a file that was cut since."""
        count = math.prod(self.shape)
        with open_regular(self.path) as file:
            file.seek(self.offset)
            values = np.frombuffer(file.read(4 * count), "u1")
        values = values[: values.size // 4 * 4].view(self.dtype)
        if values.size != count:
            raise ValueError(f"it ends after {values.size} of {count} numbers")
        c, h, w = self.shape
        planes = values.reshape(h, w, c).transpose(2, 0, 1) if self.interleaved else values.reshape(self.shape)
        return np.ascontiguousarray(planes[:, ::-1] if self.flipped else planes, np.float32)


def open_flo(path: Path) -> FloatFile:
    """Read the header of a .flo file: a flow. Raises OSError, and ValueError for another file and a truncated one."""
    head, size = _head(path)
    if head[:4] != b"PIEH":
        raise ValueError("it does not begin with `PIEH`, as a .flo file does")
    if len(head) < 12:
        raise ValueError("it ends within the header")
    width, height = struct.unpack("<ii", head[4:12])
    return _checked(FloatFile(path, (2, height, width), 12, interleaved=True), size)


def open_float3(path: Path) -> FloatFile:
    """Read the header of a .float3 file of two or three axes. Raises OSError and ValueError as `open_flo` does."""
    head, size = _head(path)
    found = _LINES.match(head)
    if found is None:
        raise ValueError("it does not begin with `float`, 2 or 3 and as many extents, each on a line of its own")
    width, height, channels, *plane = (int(group or 1) for group in found.groups())
    if found[1] is None:
        (width, height), channels = plane, 1
    return _checked(FloatFile(path, (channels, height, width), found.end(), interleaved=False), size)


def open_pfm(path: Path) -> FloatFile:
    """Read the header of a .pfm file: one or three planes. Raises OSError and ValueError as `open_flo` does."""
    head, size = _head(path)
    found = _PFM.match(head)
    if found is None:
        raise ValueError("it does not begin with `Pf` or `PF`, a width, a height and a scale, as a .pfm file does")
    kind, width, height, sign = found.groups()
    shape = (3 if kind == b"PF" else 1, int(height), int(width))
    dtype = "<f4" if sign else ">f4"
    return _checked(FloatFile(path, shape, found.end(), interleaved=True, dtype=dtype, flipped=True), size)


def _head(path: Path) -> tuple[bytes, int]:
    """The beginning of a file, and its size."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise ValueError(f"it has {size:,} bytes, more than the limit of {LARGEST:,}")
        return file.read(_HEADER), size


def _checked(file: FloatFile, size: int) -> FloatFile:
    """Return the file. Raises ValueError for extents that it cannot hold."""
    extents = "x".join(map(str, file.shape))
    if min(file.shape) < 1:
        raise ValueError(f"its header says that it has {extents} numbers")
    if file.offset + 4 * math.prod(file.shape) > size:
        raise ValueError(f"its {size:,} bytes do not hold {extents} numbers")
    return file
