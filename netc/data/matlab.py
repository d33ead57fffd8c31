"""Variables of MATLAB files, with SciPy."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np

from netc.extras import import_extra
from netc.foreign import words

MOST_BYTES = 1 << 28
"""Limit of the content of a file, when it is decompressed."""
HEADER, COMPRESSED = 128, 15
"""Bytes before the first element of a file of version 5, and the type of elements that are compressed."""


def read_variable(data: bytes, variable: str) -> Any:
    """A numeric array from a MATLAB file of version 4 to 7; `a.b` is field `b` of structure `a`.

    Raises ValueError for a file that SciPy cannot read, one whose content is beyond the limit, and one without the
    variable; NetcError E633 without SciPy.
    """
    scipy_io = import_extra("scipy.io", "matlab", "reading .mat files", "scipy")
    check_content(data)
    name, *fields = variable.split(".")
    try:
        found = scipy_io.loadmat(io.BytesIO(data), variable_names=[name]).get(name)
    except MemoryError:
        raise ValueError("it takes more memory than there is") from None
    except Exception as error:
        raise ValueError(f"SciPy cannot read it as a MATLAB file: {words(error)}") from None
    for field in fields:
        found = _field(found, field)
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iufb":
        raise ValueError(f"it has no numeric variable `{variable}`")
    return found


def _field(structure: Any, name: str) -> Any:
    """A field of a structure, which SciPy returns as an array of one element."""
    if not isinstance(structure, np.ndarray) or name not in (structure.dtype.names or ()) or structure.size != 1:
        return None
    return structure[name].ravel()[0]


def check_content(data: bytes) -> None:
    """Raises ValueError for a file whose compressed elements expand beyond the limit."""
    at, total = HEADER, 0
    order = ">" if data[126:128] == b"MI" else "<"
    while len(data) >= at + 8:
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if kind == COMPRESSED:
            total += _inflated(data[at + 8 : at + 8 + length], MOST_BYTES - total)
        if total >= MOST_BYTES:
            raise ValueError(f"its content is larger than the limit of {MOST_BYTES:,} bytes")
        at += 8 + length


def _inflated(data: bytes, limit: int) -> int:
    """The number of bytes that zlib makes of some, up to a limit."""
    inflater, count, rest = zlib.decompressobj(), 0, data
    try:
        while rest and count < limit:
            count += len(inflater.decompress(rest, 1 << 20))
            rest = inflater.unconsumed_tail
    except zlib.error:
        return count  # SciPy reports it
    return count
