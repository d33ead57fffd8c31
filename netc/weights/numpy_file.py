"""NumPy's .npy and .npz files of plain arrays, within limits; nothing is unpickled."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError
from netc.foreign import foreign_errors
from netc.weights.file_type import map_file

if TYPE_CHECKING:
    from netc.weights.blobs import Array

MAX_INFLATION = 64
"""Limit of the size of all arrays relative to the size of the file."""
FREE_BYTES = 1 << 24
"""Additional bytes allowed."""


def read_arrays(path: str | os.PathLike[str]) -> Array | dict[str, Array]:
    """The array of a .npy, or the arrays of a .npz by name, by content.

    Raises NetcError E401 for a file that cannot be read, E402 for another file, E403 for a damaged one, and E405 for
    one that decompresses to more than MAX_INFLATION times its size.
    """
    head = bytes(map_file(path)[:6])
    if head[:2] == b"PK":
        return read_npz(path)
    if head != b"\x93NUMPY":
        raise NetcError(f"`{os.fspath(path)}` is not a .npy or .npz file of arrays", code="E402")
    return read_npy(path)


def read_npy(path: str | os.PathLike[str]) -> Array:
    """The array of a .npy, mapped, so that one of more values than the file has is refused. Raises NetcError."""
    map_file(path)
    with foreign_errors(path, "a .npy file of numbers"):
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return _numbers(array, path)


def read_npz(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a .npz by name. Raises NetcError as `read_arrays`, and E402 for a file without arrays."""
    map_file(path)
    with foreign_errors(path, "a .npz file of arrays"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if not members or not all(one.filename.endswith(".npy") for one in members):
        raise NetcError(f"`{os.fspath(path)}` is not a .npz file: it does not contain arrays only", code="E402")
    size = Path(path).stat().st_size
    if sum(one.file_size for one in members) > size * MAX_INFLATION + FREE_BYTES:
        raise NetcError(f"`{os.fspath(path)}` decompresses to more than {MAX_INFLATION} times its size", code="E405")
    with foreign_errors(path, "a .npz file of arrays"), np.load(path, allow_pickle=False) as file:
        return {name: _numbers(file[name], path) for name in file.files}


def _numbers(array: Array, path: str | os.PathLike[str]) -> Array:
    if array.dtype.kind not in "fiub":
        raise NetcError(f"`{os.fspath(path)}` contains an array of {array.dtype}, not of numbers", code="E402")
    return array
