"""Weights and solver states in HDF5, with Caffe's layout.

    .caffemodel.h5    /data/LAYER/0, 1, ...   one group a layer, also without blobs; /diff likewise with snapshot_diff
    .solverstate.h5   /iter /current_step (int32, one element)  /learned_net (string)  /history/0, 1, ...
                      /netc_commit (string)     netc's commit mark, which Caffe ignores

A slash in a layer's name creates nested groups. Caffe aborts when it writes a layer named `inception_3a/1x1`, and
ignores nested groups when it reads. Here both work; a warning reports layers that Caffe would not find.
Sources: `net.cpp` (ToHDF5, CopyTrainedLayersFromHDF5), `sgd_solver.cpp` (SnapshotSolverStateToHDF5), `hdf5.cpp`.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import h5py
import numpy as np

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.weights.atomic import library_write
from netc.weights.blobproto import writable
from netc.weights.blobs import Array, BlobArray, LayerBlobs, SolverState, Weights
from netc.weights.file_type import expect, map_file, wrong_type
from netc.weights.hdf5_file import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RESERVED = {"", ".", ".."}


def read_caffemodel_hdf5(path: str | os.PathLike[str]) -> Weights:
    """The layers of a .caffemodel.h5, by name. Blobs that are contiguous in the file are views.

    Raises NetcError E401 to E406 (see netc.weights).
    """
    with _opened(path) as reader:
        links = reader.links(reader.root)
        if "data" not in links and {"iter", "history"} <= set(links):
            raise wrong_type(reader.name, "solverstate", "caffemodel")
        if "data" not in links:
            reader.fail("E402", "group `data` is missing: this is not a Caffe weight file")
        diffs = dict(reader.tree("diff")) if "diff" in links else {}
        arrays = list(reader.tree("data"))
    return Weights(tuple(_layer(reader, name, data, diffs.get(name, {})) for name, data in arrays))


def write_caffemodel_hdf5(path: str | os.PathLike[str], weights: Weights) -> tuple[Diagnostic, ...]:
    """Write a .caffemodel.h5, atomically; returns a warning W410 for layers that Caffe would not find in it.

    Blobs that are None are omitted, as Caffe omits shared ones. Raises NetcError E406 for blobs that are not floats,
    E408 if the file cannot be written, E409 for a name that is not valid in HDF5 or that repeats.
    """
    _check_names([layer.name for layer in weights.layers])
    with _created(path, sum(map(_size, weights.layers))) as file:
        _write_layers(file.create_group("data"), weights, diff=False)
        if any(blob is not None and blob.diff is not None for layer in weights.layers for blob in layer.blobs):
            _write_layers(file.create_group("diff"), weights, diff=True)
    return _not_found_by_caffe([layer.name for layer in weights.layers if layer.blobs])


def read_solverstate_hdf5(path: str | os.PathLike[str]) -> SolverState:
    """A .solverstate.h5. Raises NetcError E401 to E406 (see netc.weights)."""
    with _opened(path) as reader:
        links = reader.links(reader.root)
        if not {"iter", "history"} <= set(links):
            reader.fail("E402", "`iter` or `history` is missing: this is not a Caffe solver state")
        learned_net = reader.text("learned_net") if "learned_net" in links else None
        commit = reader.text("netc_commit") if "netc_commit" in links else None
        done = reader.integer("iter")
        step = reader.integer("current_step") if "current_step" in links else 0
        history = [arrays for name, arrays in reader.tree("history") if not name]
    arrays = history[0] if history else {}
    if set(arrays) != set(range(len(arrays))):
        reader.fail("E404", f"the blobs of the history ({len(arrays)} in total) are not numbered consecutively from 0")
    blobs = tuple(BlobArray(arrays[index]) for index in range(len(arrays)))
    return SolverState(done, learned_net, blobs, step, commit)


def write_solverstate_hdf5(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a .solverstate.h5 as Caffe does, atomically. Raises NetcError E406, E408."""
    with _created(path, sum(blob.data.nbytes for blob in state.history)) as file:
        file.create_dataset("iter", data=np.array([state.iter], "<i4"))
        if state.learned_net is not None:
            _write_string(file, b"learned_net", state.learned_net.encode("utf-8", "surrogateescape"))
        if state.commit is not None:
            _write_string(file, b"netc_commit", state.commit.encode())
        file.create_dataset("current_step", data=np.array([state.current_step], "<i4"))
        group = file.create_group("history")
        for index, blob in enumerate(state.history):
            _write_array(group, index, blob.data)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Reader]:
    """A reader of the file. Any error of the HDF5 library becomes NetcError E403."""
    data, name = map_file(path), os.fspath(path)
    expect(data, name, "hdf5")
    try:
        with h5py.File(name, "r") as file:
            yield Reader(file, data, name)
    except NetcError:
        raise
    except Exception as error:  # h5py raises exceptions of many types for a damaged file
        raise NetcError(f"`{name}` is a damaged HDF5 file", code="E403", notes=[str(error)]) from error


@contextlib.contextmanager
def _created(path: str | os.PathLike[str], size: int) -> Iterator[h5py.File]:
    """A new file. HDF5 crashes when it cannot write, and therefore does not see that."""
    try:
        with library_write(path, size) as file, h5py.File(file, "w") as result:
            yield result
    except NetcError:
        raise
    except RuntimeError as error:  # raised by h5py for what HDF5 cannot store
        raise NetcError(f"cannot write `{os.fspath(path)}`: {error}", code="E408") from error


def _layer(reader: Reader, name: str, data: dict[int, Array], diffs: dict[int, Array]) -> LayerBlobs:
    if not name:
        reader.fail("E402", "group `data` itself contains datasets: this is not a Caffe weight file")
    arrays = reader.in_order(data)
    fits = {i: diff for i, diff in diffs.items() if i in data and diff.shape == data[i].shape}
    return LayerBlobs(name, "", tuple(None if a is None else BlobArray(a, fits.get(i)) for i, a in enumerate(arrays)))


def _size(layer: LayerBlobs) -> int:
    arrays = (array for blob in layer.blobs if blob is not None for array in (blob.data, blob.diff))
    return sum(array.nbytes for array in arrays if array is not None)


def _write_layers(group: h5py.Group, weights: Weights, diff: bool) -> None:
    for layer in weights.layers:
        subgroup = group.require_group(layer.name)
        for index, blob in enumerate(layer.blobs):
            array = None if blob is None else blob.diff if diff else blob.data
            if array is not None:
                _write_array(subgroup, index, array)


def _write_array(group: h5py.Group, index: int, array: Array) -> None:
    group.create_dataset(str(index), data=np.ascontiguousarray(array, writable(array)).reshape(array.shape))


def _write_string(file: h5py.File, name: bytes, value: bytes) -> None:
    """Write a NUL-terminated scalar string of fixed length, as H5LTmake_dataset_string does and Caffe expects."""
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(value) + 1)
    kind.set_strpad(h5py.h5t.STR_NULLTERM)
    dataset = h5py.h5d.create(file.id, name, kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(value, f"S{len(value) + 1}"), mtype=kind)


def _check_names(names: Sequence[str]) -> None:
    """Raises NetcError E409 for names that are not valid paths of groups, or that coincide."""
    known: set[str] = set()
    for name in names:
        parts = name.split("/")
        if _RESERVED & set(parts) or "\0" in name or not _is_unicode(name):
            raise NetcError(
                f"`{name}` is not a valid name of a layer in HDF5", code="E409", help="write a binary .caffemodel"
            )
        if name in known:
            raise NetcError(
                f"two layers are named `{name}`: HDF5 requires unique names", code="E409", help="rename one of them"
            )
        known.add(name)
    for name in names:
        parts = name.split("/")
        above = ("/".join(parts[:depth]) for depth in range(1, len(parts)) if parts[depth].isdecimal())
        if layer := next((path for path in above if path in known), None):
            raise NetcError(f"layer `{name}` and a blob of layer `{layer}` may have the same HDF5 name", code="E409")


def _is_unicode(name: str) -> bool:
    """False for a name with bytes that were not valid UTF-8 in its file."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _not_found_by_caffe(names: Sequence[str]) -> tuple[Diagnostic, ...]:
    slashed = [name for name in names if "/" in name]
    if not slashed:
        return ()
    shown = ", ".join(f"`{name}`" for name in slashed[:3])
    message = (
        f"Caffe will not find {counted(len(slashed), 'layer')} in this HDF5 file, whose name contains a slash: {shown}"
    )
    return (Diagnostic("W410", message, help="write a binary .caffemodel (`snapshot_format: BINARYPROTO`) for Caffe"),)
