""".binaryproto: a file of one BlobProto, such as the mean image that Caffe's compute_image_mean writes."""

from __future__ import annotations

import os

import numpy as np

from netc.weights.blobproto import decode_blob, encode_blob, write_pieces
from netc.weights.blobs import Array, BlobArray
from netc.weights.file_type import expect, map_file
from netc.weights.wire import Wire


def read_blob(path: str | os.PathLike[str]) -> Array:
    """The array in the file, with its shape: a read-only view. Raises NetcError E401 to E406 (see netc.weights)."""
    data, name = map_file(path), os.fspath(path)
    expect(data, name, "blob")
    return decode_blob(Wire(data, name), 0, len(data)).data


def write_blob(path: str | os.PathLike[str], array: Array) -> None:
    """Write one array, atomically.

    Four axes are written as num, channels, height, width, as compute_image_mean does, because every version of Caffe
    reads that; any other number of axes is written as a shape. Raises NetcError E406 for an array that is not of
    floats, E408 if the file cannot be written.
    """
    write_pieces(path, encode_blob(BlobArray(np.asarray(array)), legacy=array.ndim == 4))
