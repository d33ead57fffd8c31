"""Reads and writes the files of snapshots: PREFIX_iter_N.caffemodel, .netc.json and .solverstate.

The .solverstate is moved into place last (netc.training.snapshots.staging): if it exists, the others are complete. Its
commit mark holds their digests. Caffe can resume from netc's snapshots, and netc from Caffe's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from netc import weights as files
from netc.compiler import file_weights, weighted
from netc.diagnostics import NetcError, counted
from netc.files import exists
from netc.ir.dims import text
from netc.runtime.net_weights import Array, array_of, copy_weights, gradients, named_blobs, same_shape
from netc.training.snapshots.commit import CommitMark, file_digest, history_digest, mark_of
from netc.training.snapshots.net_messages import snapshot_net
from netc.training.snapshots.run_identity import UNKNOWN_RUN, Run
from netc.training.snapshots.sidecar import CRC_FORMAT, checksum, read_sidecar, sidecar_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netc.ir.graph import Graph
    from netc.runtime.lower import Net
    from netc.training.solver.optimizer import CaffeOptimizer


@dataclass(frozen=True)
class SnapshotPaths:
    """The paths of a snapshot's files."""

    model: str
    state: str
    hdf5: bool

    @staticmethod
    def of(prefix: str, iteration: int, snapshot_format: str) -> SnapshotPaths:
        """Return the paths that Caffe uses.

        >>> SnapshotPaths.of("lenet", 10, "BINARYPROTO").state
        'lenet_iter_10.solverstate'
        """
        return SnapshotPaths.named(f"{prefix}_iter_{iteration}", snapshot_format)

    @staticmethod
    def named(stem: str, snapshot_format: str) -> SnapshotPaths:
        """Return the paths with a common stem."""
        hdf5 = snapshot_format == "HDF5"
        ending = ".h5" * hdf5
        return SnapshotPaths(f"{stem}.caffemodel{ending}", f"{stem}.solverstate{ending}", hdf5)

    @staticmethod
    def of_state(state: str) -> SnapshotPaths:
        """Return the paths that belong to a solver state.

        >>> SnapshotPaths.of_state("lenet_iter_10.solverstate.h5").average
        'lenet_iter_10.ema.caffemodel.h5'
        """
        stem = str(sidecar_path(state)).removesuffix(".netc.json")
        return SnapshotPaths.named(stem, "HDF5" if state.endswith(".h5") else "BINARYPROTO")

    @property
    def stem(self) -> str:
        """What the names of the files have in common."""
        return self.sidecar.removesuffix(".netc.json")

    @property
    def sidecar(self) -> str:
        """The file with what Caffe's files lack."""
        return str(sidecar_path(self.state))

    @property
    def average(self) -> str:
        """The file with averaged weights."""
        return self.model.replace(".caffemodel", ".ema.caffemodel")


def write_model(path: str, net: Net, graph: Graph, hdf5: bool, diff: bool = False) -> None:
    """Write a net's weights, with gradients if `diff`. Raises NetcError E406 to E409.

    A binary file contains the net, as Caffe's do; an HDF5 file contains each shared blob once, in its owner.
    """
    content = file_weights(weighted(net), gradients(net) if diff else None, shared=not hdf5).with_blobs
    if hdf5:
        files.write_caffemodel_hdf5(path, content)
    else:
        files.write_caffemodel(path, content, snapshot_net(graph))


def state_of(optimizer: CaffeOptimizer, model: str, current_step: int) -> files.SolverState:
    """Return a solver's state, without a commit mark."""
    history = tuple(files.BlobArray(array_of(tensor, tuple(tensor.shape))) for tensor in optimizer.history())
    return files.SolverState(optimizer.iteration, model, history, current_step)


def write_state(path: str, state: files.SolverState, hdf5: bool) -> None:
    """Write a solver's state. Raises NetcError E406 to E408."""
    (files.write_solverstate_hdf5 if hdf5 else files.write_solverstate)(path, state)


@dataclass(frozen=True, eq=False)
class ReadSnapshot:
    """A snapshot that was read and checked as a whole."""

    path: str
    state: files.SolverState
    model: Path
    layers: list[tuple[str, list[Array | None]]]
    mark: CommitMark | None
    sidecar: dict[str, Any] | None
    """None for a snapshot of Caffe, or if the file is missing."""
    notes: tuple[str, ...] = ()

    @property
    def run(self) -> Run:
        """The run that wrote it."""
        return self.mark.run if self.mark else UNKNOWN_RUN

    def load(self, net: Net, optimizer: CaffeOptimizer) -> None:
        """Load the weights and the history. Raises NetcError as `copy_weights`; then nothing is changed."""
        copy_weights(net, self.layers, str(self.model))
        optimizer.load_history([_tensor(blob.data) for blob in self.state.history])
        optimizer.iteration = self.state.iter


def read_snapshot(path: str, net: Net, optimizer: CaffeOptimizer) -> ReadSnapshot:
    """Read a snapshot for a net and its optimizer, and check that its files are complete and belong together.

    Raises NetcError E401 to E406 for files that cannot be read or have another format, E702 if the weights file is
    missing, E703 if weights or history belong to another net or another solver, E705 if the files do not belong to one
    snapshot, E706 for a damaged sidecar or commit mark.
    """
    state = files.read_solverstate(path)
    if state.iter < 0 or state.current_step < 0:
        name, value = ("iter", state.iter) if state.iter < 0 else ("current_step", state.current_step)
        raise NetcError(f"`{path}` is damaged: `{name}` is {value}, expected 0 or more", code="E706")
    mark, sidecar = mark_of(path, state), sidecar_path(path)
    if mark and history_digest(state) != mark.history:
        raise NetcError(f"`{path}` is damaged: its history has changed since it was written", code="E706")
    _check_history(path, state.history, optimizer)
    model, notes = _find_model(path, state.learned_net)
    layers = _layers(model, net)
    content = read_sidecar(sidecar)
    if mark:
        _check_digests(path, mark, model)
    if content is not None:
        _check_sidecar(sidecar, content, state, mark, model, lambda: _model_checksum_of(layers, net))
    elif mark:
        notes += (f"`{sidecar}` is missing: data resume at the position that the iteration implies",)
    return ReadSnapshot(path, state, model, layers, mark, content, notes)


def _check_digests(path: str, mark: CommitMark, model: Path) -> None:
    if file_digest(model) != mark.model:
        _do_not_belong(f"`{model}` is not the weights file that was written with `{path}`")
    average = Path(SnapshotPaths.of_state(path).average)
    if mark.average and exists(average) and file_digest(average) != mark.average:
        _do_not_belong(f"`{average}` is not the file of averaged weights that was written with `{path}`")


def _check_sidecar(
    path: Path,
    content: dict[str, Any],
    state: files.SolverState,
    mark: CommitMark | None,
    model: Path,
    weights_checksum: Callable[[], int],
) -> None:
    """Raise NetcError E705 unless a sidecar belongs to a snapshot; the digest is compared last, as it names nothing."""
    if content["iteration"] != state.iter:
        _do_not_belong(f"`{path}` is of iteration {content['iteration']}, the solver state of {state.iter}")
    found = weights_checksum() if content["format"] == CRC_FORMAT else mark.model if mark else file_digest(model)
    if content["model"] != found:
        _do_not_belong(f"`{path}` belongs to another weights file than `{model}`")
    if mark and file_digest(path) != mark.sidecar:
        _do_not_belong(f"`{path}` has changed since the snapshot was written, or belongs to another one")


def _do_not_belong(reason: str) -> NoReturn:
    raise NetcError(f"{reason}; the files do not belong together", code="E705", help="use the files of one snapshot")


def _layers(model: Path, net: Net) -> list[tuple[str, list[Array | None]]]:
    """Read the layers of a weights file. Raises NetcError E703 if a layer of the net is missing."""
    layers = files.read(model).arrays
    known = {name for name, arrays in layers if arrays}
    missing = [name for name, blobs in named_blobs(net) if name not in known and any(b.is_owner for b in blobs)]
    if missing:
        raise NetcError(f"`{model}` has no weights for {_listed(missing)}: it belongs to another net", code="E703")
    return layers


def _model_checksum_of(layers: list[tuple[str, list[Array | None]]], net: Net) -> int:
    """Return the checksum of a net's weights after copying the layers; equal names are matched in order."""
    kept: dict[str, list[list[Array | None]]] = {}
    for name, arrays in layers:
        kept.setdefault(name, []).append(arrays)
    order = [(kept[name].pop(0) if len(kept[name]) > 1 else kept[name][0], blobs) for name, blobs in named_blobs(net)]
    pairs = [(arrays[blob.index], blob) for arrays, blobs in order for blob in blobs if blob.index < len(arrays)]
    return checksum(array for array, blob in pairs if blob.is_owner and array is not None)


def _check_history(path: str, history: Sequence[files.BlobArray], optimizer: CaffeOptimizer) -> None:
    blobs = optimizer.blobs
    expected = len(blobs) * optimizer.rule.histories
    if len(history) != expected:
        solver = optimizer.rule.type
        raise NetcError(
            f"`{path}` has a history of {counted(len(history), 'blob')}, expected "
            f"{expected}: {solver} with {counted(len(blobs), 'blob')}",
            code="E703",
            notes=[f"{solver} keeps {optimizer.rule.histories} for each learnable blob"],
            help="the state belongs to another solver `type` or another net",
        )
    for index, array in enumerate(history):
        blob = blobs[index % len(blobs)]
        if not same_shape(array.shape, blob.shape):
            found = f"history blob {index} has shape {text(array.shape)}, blob {blob.index} of layer `{blob.layer}`"
            raise NetcError(
                f"`{path}` belongs to another net: {found} has {text(blob.shape)}",
                code="E703",
            )


def _find_model(state: str, learned_net: str | None) -> tuple[Path, tuple[str, ...]]:
    """Find the weights file: at the path in the state, else next to the state."""
    if not learned_net:
        raise NetcError(f"`{state}` does not name its weights file", code="E702")
    if exists(learned_net):
        return Path(learned_net), ()
    local = Path(state).parent / Path(learned_net.replace("\\", "/")).name
    if exists(local):
        return local, (f"`{learned_net}` not found; using `{local}`",)
    raise NetcError(
        f"the weights file of `{state}`, `{learned_net}`, does not exist",
        code="E702",
        notes=[] if local.absolute() == Path(learned_net).absolute() else [f"`{local}` does not exist either"],
        help="put the .caffemodel next to the .solverstate",
    )


def _tensor(array: Array) -> Tensor:
    """Copy to a tensor: a view of a file may be read-only, unaligned, and in another byte order."""
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
