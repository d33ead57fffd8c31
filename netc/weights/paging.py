"""Releases the pages of a mapped file whose values were copied, so that a large file is in memory once, not twice."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt


def release(array: npt.NDArray[Any]) -> None:
    """Let the system release the pages of `array` if it is a view of a memory map; the array stays readable.

    Does nothing if the system has no such call, or the array is not a view of a mapped file.
    """
    mapping = _mapping(array)
    if mapping is None or not array.nbytes or not hasattr(mmap, "MADV_DONTNEED"):
        return
    if array.ndim == 1 and array.strides[0] > 0:  # values between which are tags are released with these
        size = array.strides[0] * (array.size - 1) + array.itemsize
    elif array.flags.c_contiguous:
        size = array.nbytes
    else:
        return
    first = array.__array_interface__["data"][0] - np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
    start = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE  # pages shared with other arrays are kept
    length = first + size - start
    if length >= mmap.PAGESIZE:
        mapping.madvise(mmap.MADV_DONTNEED, start, length // mmap.PAGESIZE * mmap.PAGESIZE)


def _mapping(array: npt.NDArray[Any]) -> mmap.mmap | None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    held = base.obj if isinstance(base, memoryview) else base
    return held if isinstance(held, mmap.mmap) else None
