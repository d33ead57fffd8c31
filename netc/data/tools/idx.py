"""IDX files, the format of MNIST: a magic number, extents, bytes."""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError
from netc.files import MAX_DEFLATE, open_regular, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Bytes = npt.NDArray[np.uint8]
LIMIT = 1 << 31
"""Bytes that an uncompressed IDX file may hold: MNIST has 47 million, EMNIST 640 million."""


def read_idx(path: Path | str, axes: int) -> Bytes:
    """The bytes of an IDX file of `axes` axes, gzipped or not. Raises NetcError E510, or E501 if it cannot be read."""
    try:
        with _unpacked(Path(path)) as (file, capacity):
            return _read(file, str(path), axes, capacity)
    except (OSError, EOFError, zlib.error) as error:
        raise NetcError(f"`{path}` cannot be read: {reason_of(error)}", code="E501") from None


def _read(file: BinaryIO, name: str, axes: int, capacity: int) -> Bytes:
    magic = 0x800 + axes  # 8 is unsigned bytes; the low byte is the number of axes
    head = file.read(4 + 4 * axes)
    found = int.from_bytes(head[:4], "big")
    kind = "images" if axes == 3 else "labels"
    if len(head) < 4 or found != magic:
        raise NetcError(f"`{name}` is not an IDX file of {kind}: magic number {found}, expected {magic}", code="E510")
    if len(head) < 4 + 4 * axes:
        raise NetcError(f"`{name}` ends within its header, after {len(head)} bytes", code="E510")
    shape = struct.unpack(f">{axes}I", head[4:])
    size = math.prod(shape)
    if not size:
        raise NetcError(f"`{name}` holds no {kind}: its shape is {'x'.join(map(str, shape))}", code="E510")
    if size > LIMIT:
        raise NetcError(f"`{name}` declares {size} bytes, more than the limit of {LIMIT}", code="E510")
    if size > capacity:  # before memory is allocated
        raise NetcError(f"`{name}` declares {size} bytes, more than a file of its size can hold", code="E510")
    data = file.read(size + 1)
    if len(data) != size:
        more = "more" if len(data) > size else f"only {len(data)}"
        raise NetcError(f"`{name}` declares {size} bytes and holds {more}", code="E510")
    return np.frombuffer(data, np.uint8).reshape(shape)


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[tuple[Any, int]]:
    """The unpacked file, and the bytes that it can hold at most."""
    with open_regular(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        size = file.seek(0, 2)
        file.seek(0)
        if not zipped:
            yield file, size
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked, size * MAX_DEFLATE
