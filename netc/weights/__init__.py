"""Weight files in and out: named blobs, as NumPy arrays.

    read(path)                      Weights of a .caffemodel or .caffemodel.h5, whatever it is called
    read_caffemodel, write_caffemodel             binary
    read_caffemodel_hdf5, write_caffemodel_hdf5   HDF5
    read_solverstate(path)          SolverState of a .solverstate or .solverstate.h5, whatever it is called
    write_solverstate, write_solverstate_hdf5
    read_blob, write_blob           .binaryproto: a mean image
    Weights -> LayerBlobs -> Blob (.data .diff .legacy .shape .statistics)
    atomic_write, atomic_path       a file that is whole or not there

Files are strangers': nothing but NetcError comes out, in bounded time and memory. Binary faults name the byte.

    E401  no such file, no right to read it, or it is empty
    E402  something else than asked for: a text, an archive, a solver state, another framework's file
    E403  the bytes are broken or cut short
    E404  a blob's shape is impossible or does not fit its values
    E405  more fields, layers, groups or values than a file of weights has
    E406  values that are not here (links, other files) or are no floats
    E407  more than the 2 GB that protobuf can hold
    E408  the file cannot be written
    E409  the blobs to write do not fit the net or the format
    W410  Caffe will not find these layers in the HDF5 file
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netc.weights.atomic import atomic_path, atomic_write
from netc.weights.binaryproto import read_blob, write_blob
from netc.weights.blobs import BlobArray, LayerBlobs, SolverState, Weights
from netc.weights.caffemodel import read_caffemodel, write_caffemodel
from netc.weights.file_type import expect, map_file
from netc.weights.solverstate import read_solverstate, write_solverstate
from netc.weights.statistics import BlobStatistics

if TYPE_CHECKING:
    from netc.diagnostics import Diagnostic

__all__ = [
    "BlobArray",
    "BlobStatistics",
    "LayerBlobs",
    "SolverState",
    "Weights",
    "atomic_path",
    "atomic_write",
    "read",
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
    """The weights in a file, told by its content: binary .caffemodel or HDF5. Raises NetcError E401 to E406."""
    found = expect(map_file(path), os.fspath(path), "caffemodel", "hdf5")
    return read_caffemodel_hdf5(path) if found == "hdf5" else read_caffemodel(path)


def read_caffemodel_hdf5(path: str | os.PathLike[str]) -> Weights:
    """As `netc.weights.hdf5.read_caffemodel_hdf5`; h5py is imported on the first call, for it takes its time."""
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
