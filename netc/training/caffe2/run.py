"""One call for a whole run of a Caffe2 plan or training net: `netc train plan.pb`, `netc train train_net.pb`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.frontends import NetDefinition, PlanDefinition, read, read_plan
from netc.host_memory import memory_errors
from netc.training.caffe2.plan_run import PlanRun
from netc.training.caffe2.trainer import Trainer, load_trainer
from netc.training.log.events import IterationDisplayed, Listener, LogNote, SnapshotStarted, ignore
from netc.weights import StateDict, check_output, read_any
from netc.weights.init_net_file import write_init_net

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from netc.training.caffe2.workspace_net import WorkspaceNet

DISPLAY = 100
"""The loss of every so many iterations is logged."""


def recognize_plan(path: str | Path) -> PlanDefinition | None:
    """The plan in a file; None for any other file, and for one that cannot be read."""
    with contextlib.suppress(NetcError):
        return read_plan(path)
    return None


def recognize_net(path: str | Path) -> bool:
    """Whether a file is a Caffe2 net; not if it cannot be read."""
    with contextlib.suppress(NetcError):
        found = read(path)
        return isinstance(found, NetDefinition) and found.fills_weights
    return False


def run_plan(
    plan: PlanDefinition, *, output: str | Path | None = None, display: int = DISPLAY, listener: Listener = ignore
) -> PlanRun:
    """Run a plan; write the blobs that its nets without gradients filled as an init net. Ctrl-C ends the run early.

    `output` is by default `<plan>_trained_init.pb` in the current folder. Raises NetcError.
    """
    target = check_output(output or _default_output(plan.source.name))
    run, progress = PlanRun(plan), _Progress(display, listener)

    def after(name: str, net: WorkspaceNet, workspace: Mapping[str, Tensor]) -> bool:
        if net.gradients.starts:
            progress.finished(net.loss(workspace))
        return False

    with memory_errors(), _interruptible(listener):
        run.run(after)
    progress.last()
    blobs = {name: run.workspace[name].numpy() for name in run.filled}
    _write(target, blobs, run.mutexes, plan.source.name, progress, listener)
    return run


def run_training_net(
    path: str | Path,
    *,
    init: str | Path | None = None,
    inputs: str | Path | None = None,
    iterations: int | None = None,
    output: str | Path | None = None,
    display: int = DISPLAY,
    seed: int | None = None,
    listener: Listener = ignore,
) -> Trainer:
    """Train a Caffe2 training net from its init net; write the blobs of the init net as one. Ctrl-C ends the run early.

    `inputs` is a file of arrays (.npz), named after inputs of the net, whose first axis counts the iterations; after
    the last one the first is used again. `iterations` is by default their number. `output` is by default
    `<net>_trained_init.pb` in the current folder. Raises NetcError.
    """
    target = check_output(output or _default_output(str(path)))
    batches = {} if inputs is None else _batches(inputs)
    count = iterations or (len(next(iter(batches.values()))) if batches else None)
    if count is None:
        raise NetcError("the number of iterations is unknown", help="pass `--iterations N`, or `--inputs FILE.npz`")
    trainer, progress = load_trainer(path, init, seed=seed), _Progress(display, listener)
    with memory_errors(), _interruptible(listener):
        for index in range(count):
            progress.finished(trainer.step({name: array[index % len(array)] for name, array in batches.items()}))
    progress.last()
    _write(target, trainer.state(), trainer.net.mutexes, str(path), progress, listener)
    return trainer


def _batches(path: str | Path) -> Mapping[str, NDArray[Any]]:
    """The arrays in a file. Raises NetcError E302 unless all have the same first extent, of 1 or more."""
    found = read_any(path)
    if not isinstance(found, StateDict):
        raise NetcError(
            f"`{path}` is not a file of named arrays", help="pass a .npz file with one array for each input"
        )
    counts = {name: len(array) if array.ndim else 0 for name, array in found.tensors.items()}
    if not counts or min(counts.values()) != max(counts.values()) or not max(counts.values()):
        shown = ", ".join(f"`{name}`: {count}" for name, count in counts.items()) or "no arrays"
        message = f"`{path}` does not have the same number of batches for each input"
        raise NetcError(message, code="E302", notes=[f"first extents: {shown}"])
    return found.tensors


def _default_output(path: str) -> str:
    return f"{Path(path).stem}_trained_init.pb"


@contextlib.contextmanager
def _interruptible(listener: Listener) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        listener(LogNote("netc:1", "Interrupted: the run ends here"))


def _write(
    target: Path,
    blobs: Mapping[str, NDArray[Any]],
    mutexes: tuple[str, ...],
    source: str,
    progress: _Progress,
    listener: Listener,
) -> None:
    listener(SnapshotStarted(progress.iteration, str(target), "model", hdf5=False))
    write_init_net(target, blobs, mutexes, f"{Path(source).stem}_trained")
    listener(LogNote("caffe.cpp:259", "Optimization Done."))


class _Progress:
    """Logs the mean loss since the last line, every `display` iterations and at the end."""

    def __init__(self, display: int, listener: Listener) -> None:
        self.display, self.listener = display, listener
        self.iteration = 0
        """The number of iterations so far."""
        self._losses: list[float] = []
        self._since = time.monotonic()

    def finished(self, loss: float) -> None:
        """Count an iteration."""
        self.iteration += 1
        self._losses.append(loss)
        if len(self._losses) == self.display:
            self.last()

    def last(self) -> None:
        """Log the iterations since the last line, if there are any."""
        if not self._losses:
            return
        now, count = time.monotonic(), len(self._losses)
        loss = sum(self._losses) / count
        self.listener(IterationDisplayed(self.iteration, loss, now - self._since, count, count, ()))
        self._losses, self._since = [], now
