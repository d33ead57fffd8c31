"""Reads and writes weight files: named blobs or tensors, as NumPy arrays.

    read_any(path)                  Weights or StateDict: .caffemodel, .h5, .safetensors, .pt, .npz, Caffe2's files of
                                    tensors (minidb, TensorProtos, BlobProto), whatever its name
    read(path)                      Weights of a .caffemodel or .caffemodel.h5, whatever its name
    read_caffemodel, write_caffemodel             binary
    read_caffemodel_hdf5, write_caffemodel_hdf5   HDF5
    read_solverstate(path)          SolverState of a .solverstate or .solverstate.h5, whatever its name
    write_solverstate, write_solverstate_hdf5
    read_blob, write_blob           .binaryproto: a mean image
    Weights -> LayerBlobs -> Blob (.data .diff .legacy .shape .statistics)
    atomic_write, atomic_path, library_write      a file that appears only when it is complete

Files are untrusted: a bad one raises NetcError, in bounded time and memory. Errors in binary files name the byte.

    E401  a file that does not exist, is not readable, or is empty
    E402  a file of another kind: a text, an archive, a solver state, an HTML page, a Git LFS pointer
    E403  a file that is damaged or truncated
    E404  a blob whose shape is impossible or does not match its values
    E405  more fields, layers, groups or values than a weight file contains
    E406  values that are not in the file (links, other files) or are not floats
    E407  more than the 2 GB that protobuf can hold
    E408  a file that cannot be written
    E409  blobs to write that do not match the net or the format
    W410  layers that Caffe will not find in the HDF5 file
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netc.weights.atomic import atomic_path, atomic_write, check_output, library_write
from netc.weights.binaryproto import read_blob, write_blob
from netc.weights.blobs import BlobArray, LayerBlobs, SolverState, StateDict, Weights
from netc.weights.caffe2_blobs import read_caffe2_blobs
from netc.weights.caffemodel import read_caffemodel, write_caffemodel
from netc.weights.file_type import CAFFE2_BLOBS, STATE_DICTS, content, expect, map_file
from netc.weights.solverstate import read_solverstate, write_solverstate
from netc.weights.statistics import BlobStatistics

if TYPE_CHECKING:
    from netc.diagnostics import Diagnostic

__all__ = [
    "BlobArray",
    "BlobStatistics",
    "LayerBlobs",
    "SolverState",
    "StateDict",
    "Weights",
    "atomic_path",
    "atomic_write",
    "check_output",
    "library_write",
    "read",
    "read_any",
    "read_blob",
    "read_caffemodel",
    "read_caffemodel_hdf5",
    "read_solverstate",
    "write_blob",
    "write_caffemodel",
    "write_caffemodel_hdf5",
    "write_solverstate",
    "write_solverstate_hdf5",
]


def read(path: str | os.PathLike[str]) -> Weights:
    """The weights in a file, binary .caffemodel or HDF5 by its content. Raises NetcError E401 to E406."""
    found = expect(map_file(path), os.fspath(path), "caffemodel", "hdf5")
    return read_caffemodel_hdf5(path) if found == "hdf5" else read_caffemodel(path)


def read_any(path: str | os.PathLike[str]) -> Weights | StateDict:
    """The weights in a file of any format, determined by content: what every function that takes weights reads.

    A .caffemodel, binary or HDF5, has blobs by layer; safetensors, PyTorch's and NumPy's files have the tensors of a
    state_dict by name; each tensor of a Caffe2 file is a layer of its name with one blob.
    Raises NetcError E401 to E406.
    """
    data = map_file(path)
    found = content(data)
    if found in CAFFE2_BLOBS:
        return read_caffe2_blobs(path, found)
    if found in STATE_DICTS:
        from netc.weights.state_dict import read_state_dict  # torch is imported for these files only

        return read_state_dict(path, found, bytes(data[:512]))
    return read(path)


def read_caffemodel_hdf5(path: str | os.PathLike[str]) -> Weights:
    """As `netc.weights.hdf5.read_caffemodel_hdf5`; h5py is imported on the first call, because that is slow."""
    from netc.weights import hdf5

    return hdf5.read_caffemodel_hdf5(path)


def write_caffemodel_hdf5(path: str | os.PathLike[str], weights: Weights) -> tuple[Diagnostic, ...]:
    """As `netc.weights.hdf5.write_caffemodel_hdf5`."""
    from netc.weights import hdf5

    return hdf5.write_caffemodel_hdf5(path, weights)


def write_solverstate_hdf5(path: str | os.PathLike[str], state: SolverState) -> None:
    """As `netc.weights.hdf5.write_solverstate_hdf5`."""
    from netc.weights import hdf5

    hdf5.write_solverstate_hdf5(path, state)
