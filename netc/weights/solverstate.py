""".solverstate: SolverState{iter=1 learned_net=2 history=3 current_step=4} (`sgd_solver.cpp`).

Forks add `minimum_loss` (5) and `iter_last_event` (6), for learning rate policies that BVLC's Caffe lacks; they are
ignored. netc adds its commit mark (60001, a string), which Caffe ignores.
"""

from __future__ import annotations

import os

from netc.diagnostics import NetcError
from netc.weights.blobproto import Piece, decode_blob, encode_blob, nested, size_of, write_pieces
from netc.weights.blobs import BlobArray, SolverState
from netc.weights.caffemodel import MAX_BYTES, text_bytes
from netc.weights.file_type import expect, map_file
from netc.weights.wire import LENGTH, VARINT, Wire, WireField, delimited, signed, tag, varint

_COMMIT = 60001
_WIRES = {1: VARINT, 2: LENGTH, 3: LENGTH, 4: VARINT, _COMMIT: LENGTH}


def read_solverstate(path: str | os.PathLike[str]) -> SolverState:
    """The solver's state from a binary or an HDF5 file, determined by content; the history blobs are views.

    Raises NetcError E401 to E406 (see netc.weights).
    """
    data, name = map_file(path), os.fspath(path)
    if expect(data, name, "solverstate", "hdf5") == "hdf5":
        from netc.weights.hdf5 import read_solverstate_hdf5  # importing h5py is slow

        return read_solverstate_hdf5(path)
    return _decode(Wire(data, name))


def write_solverstate(path: str | os.PathLike[str], state: SolverState) -> None:
    """Write a binary .solverstate as Caffe does, atomically.

    Raises NetcError E406 for a history that is not of floats, E407 for more than protobuf's 2 GB, E408 if the file
    cannot be written.
    """
    pieces: list[Piece] = [tag(1, VARINT) + varint(state.iter)]
    if state.learned_net is not None:
        pieces.append(delimited(2, text_bytes(state.learned_net)))
    for blob in state.history:
        pieces += nested(3, encode_blob(blob))
    pieces.append(tag(4, VARINT) + varint(state.current_step))
    if state.commit is not None:
        pieces.append(delimited(_COMMIT, text_bytes(state.commit)))
    if (total := sum(map(size_of, pieces))) > MAX_BYTES:
        raise NetcError(
            f"the solver's state needs {total} bytes, but a .solverstate can hold only {MAX_BYTES}",
            code="E407",
            help="set `snapshot_format: HDF5`, which has no such limit",
        )
    write_pieces(path, pieces)


def _decode(wire: Wire) -> SolverState:
    numbers, texts = {1: 0, 4: 0}, dict[int, str]()
    history: list[BlobArray] = []
    for field in wire.fields(0, len(wire.data)):
        if field.wire != _WIRES.get(field.number, field.wire):
            place = f"field {field.number} at byte {field.start}"
            wire.fail("E403", f"{place} has wire type {field.wire}, which a solver state does not use")
        if field.number in numbers:
            numbers[field.number] = signed(field.value, 32)
        elif field.number in (2, _COMMIT):
            texts[field.number] = wire.text(field)
        elif field.number == 3:
            wire.keep()
            history.append(_history_blob(wire, field, len(history)))
    return SolverState(numbers[1], texts.get(2), tuple(history), numbers[4], texts.get(_COMMIT))


def _history_blob(wire: Wire, field: WireField, index: int) -> BlobArray:
    try:
        return decode_blob(wire, field.at, field.end)
    except NetcError as error:
        raise error.at(None, f"in blob {index} of the history") from None
