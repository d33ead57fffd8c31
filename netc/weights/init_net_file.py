"""Writes Caffe2's init nets: NetDef{name=1 op=2}, one operator OperatorDef{output=2 type=4 arg=5} for each blob.

An Argument{name=1 floats=5 ints=6 strings=7} holds the shape and the values. Numbers are packed: every version of
protobuf reads that, and they need not be copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import NetcError, visible
from netc.weights.blobproto import Piece, nested, size_of, write_pieces
from netc.weights.caffemodel import MAX_BYTES, text_bytes
from netc.weights.wire import delimited, varint

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_FLOATS = {"float32": "GivenTensorFill", "float64": "GivenTensorDoubleFill"}
_INTEGERS = {
    "int32": "GivenTensorIntFill",
    "int64": "GivenTensorInt64Fill",
    "int16": "GivenTensorInt16Fill",
    "bool": "GivenTensorBoolFill",
}


def write_init_net(
    path: str | os.PathLike[str], blobs: Mapping[str, NDArray[Any]], mutexes: Iterable[str] = (), name: str = ""
) -> None:
    """Write an init net that fills `blobs` and creates `mutexes`, atomically.

    Raises NetcError E409 for a type that no operator fills, and for float64 numbers beyond float32, in which operators
    store them; E407 for more than protobuf's 2 GB, and E408 if the file cannot be written.
    """
    pieces: list[Piece] = [delimited(1, text_bytes(name))] if name else []
    for blob, array in blobs.items():
        pieces += nested(2, _fill(blob, np.asarray(array)))
    for blob in mutexes:
        pieces += nested(2, _head(blob, "CreateMutex"))
    if (total := sum(map(size_of, pieces))) > MAX_BYTES:
        raise NetcError(f"the init net needs {total} bytes, but a NetDef can hold only {MAX_BYTES}", code="E407")
    write_pieces(path, pieces)


def _fill(blob: str, array: NDArray[Any]) -> list[Piece]:
    """The operator that fills a blob."""
    shape = _argument("shape", 6, [_integers(array.shape)])
    dtype = array.dtype.name
    if dtype in _FLOATS:
        values = np.ascontiguousarray(array, "<f4").reshape(-1)
        if dtype == "float64" and not np.array_equal(values.astype("f8"), array.reshape(-1), equal_nan=True):
            raise _unwritable(blob, "float64 numbers, which init nets store as float32")
        return [*_head(blob, _FLOATS[dtype]), *shape, *_argument("values", 5, [values])]
    if dtype in _INTEGERS:
        return [*_head(blob, _INTEGERS[dtype]), *shape, *_argument("values", 6, [_integers(array.reshape(-1))])]
    if dtype == "uint8":
        return [*_head(blob, "GivenTensorByteStringToUInt8Fill"), *shape, *_argument("values", 7, [array.tobytes()])]
    raise _unwritable(blob, f"values of type {dtype}, which no operator of init nets fills")


def _head(blob: str, type: str) -> list[Piece]:
    return [delimited(2, text_bytes(blob)), delimited(4, type.encode())]


def _argument(name: str, field: int, values: list[Piece]) -> list[Piece]:
    """The argument of an operator, a list in one field; an empty list has no field, but an empty string has."""
    empty = field != 7 and not sum(map(size_of, values))
    return nested(5, [delimited(1, name.encode()), *([] if empty else nested(field, values))])


def _integers(values: Iterable[int]) -> bytes:
    return b"".join(varint(int(value) % 2**64) for value in values)


def _unwritable(blob: str, what: str) -> NetcError:
    return NetcError(f"blob `{visible(blob)}` holds {what}", code="E409")
