"""The solver: its nets, and Caffe's loop over them (`solver.cpp`)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.runtime.lower import Net
from netc.training import sidecar, snapshot
from netc.training.checks import check_prefix
from netc.training.events import (
    Advanced,
    Clipped,
    Displayed,
    FinalLoss,
    Finished,
    Listener,
    Note,
    Output,
    Rated,
    Restoring,
    Snapshotting,
    Started,
    Stepped,
    Tested,
    Testing,
    Warned,
    nobody,
)
from netc.training.executor import ExecutorFactory, StraightExecutor
from netc.training.loss import LossMeter
from netc.training.lr_policy import Schedule
from netc.training.messages import text_of
from netc.training.nets import SolverNets
from netc.training.optimizers import optimizer_for
from netc.training.settings import SolverSettings
from netc.training.solver_net import Assembler

CPU = torch.device("cpu")


class Solver:
    """Trains a net as its settings say, and tells `tell` of what happens.

    `net` and `test_nets` share weights; `step`, `solve`, `test`, `snapshot` and `restore` are Caffe's. `executor`
    makes what runs each net. Raises NetcError for settings, nets, weights or data that are at fault.
    """

    def __init__(
        self,
        settings: SolverSettings,
        *,
        device: torch.device = CPU,
        tell: Listener = nobody,
        executor: ExecutorFactory = StraightExecutor,
    ) -> None:
        self.settings, self.device, self.tell = settings, device, tell
        tell(Note("solver.cpp:45", f"Initializing solver from parameters: \n{text_of(settings).rstrip()}"))
        for warning in settings.warnings:
            tell(Warned(warning.render()))
        if settings.snapshot:
            check_prefix(settings)
        self.seed = settings.random_seed if settings.random_seed >= 0 else secrets.randbits(31)
        torch.manual_seed(self.seed)
        assembler = Assembler(settings, device, self.seed, executor, tell)
        nets = SolverNets(settings, tell)
        self.train_net = assembler.train_net(nets.train())
        self.optimizer = optimizer_for(settings, self.net.blobs)
        self.optimizer.keep_updates = settings.snapshot_diff
        self.tests = [assembler.test_net(graph, index) for index, graph in enumerate(nets.tests())]
        self.net.train()
        self.schedule = Schedule(settings)
        self.loss = LossMeter(settings.average_loss, self.train_net.executor.losses)
        self.on_start: list[Callable[[], None]] = []
        """Called before the passes of an iteration."""
        self.on_gradients_ready: list[Callable[[], None]] = []
        """Called between the passes of an iteration and its update."""
        self._shown = (time.perf_counter(), 0)
        self._resumed = False
        tell(Note("solver.cpp:57", "Solver scaffolding done."))

    # ------------------------------------------------------------------ what there is

    @property
    def net(self) -> Net:
        """The train net."""
        return self.train_net.net

    @property
    def test_nets(self) -> list[Net]:
        """The test nets."""
        return [test.net for test in self.tests]

    @property
    def iteration(self) -> int:
        """Updates done."""
        return self.optimizer.iteration

    def close(self) -> None:
        """Stop reading data."""
        for part in (self.train_net, *self.tests):
            part.close()

    def __enter__(self) -> Solver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ training

    def solve(self, iterations: int | None = None) -> None:
        """Train up to `max_iter`, or for so many iterations; then snapshot, show the loss and test where they are due.

        Raises NetcError E602 where neither is known, and whatever `step` raises.
        """
        settings = self.settings
        if iterations is None and not settings.max_iter and "max_iter" not in settings.fields:
            raise NetcError("`max_iter` is missing", code="E602", span=settings.fields.span())
        if settings.snapshot_after_train:
            check_prefix(settings)
        last = settings.max_iter if iterations is None else self.iteration + iterations
        self.tell(Started(self.net.graph.name, settings.lr_policy, self.iteration, last))
        self.step(last - self.iteration)
        if settings.snapshot_after_train and not self._due(settings.snapshot):
            self.snapshot()
        if self._due(settings.display):
            self.loss.add(self.iteration, self.train_net.executor.forward())
            self.tell(FinalLoss(self.iteration, self.loss.value()))
        if self._due(settings.test_interval):
            self.test_all()
        self._look()
        self.tell(Finished(self.iteration))

    def step(self, iterations: int) -> None:
        """Train for so many iterations, with the tests, log lines and snapshots that fall due.

        Raises NetcError E701 for a loss that is NaN or infinite, E301 for labels out of range, and what snapshots and
        data raise.
        """
        if not self._resumed:
            self.loss.restart(self.iteration)
        self._resumed = False
        self._shown = (time.perf_counter(), self.iteration)
        for _ in range(iterations):
            self._iterate()

    def _iterate(self) -> None:
        settings = self.settings
        self.train_net.executor.clear_gradients()
        if self._due(settings.test_interval) and (self.iteration or settings.test_initialization):
            self.test_all()
        for callback in self.on_start:
            callback()
        self.loss.add(self.iteration, self._passes())
        display = self._due(settings.display)
        if display:
            self._display()
        for callback in self.on_gradients_ready:
            callback()
        self._update(display)
        self.tell(Advanced(self.iteration))
        if self._due(settings.snapshot):
            self.snapshot()

    def _passes(self) -> Sequence[Tensor]:
        """Forward and backward over `iter_size` batches; the parts of the mean loss."""
        executor, batches = self.train_net.executor, self.settings.iter_size
        losses = executor.forward_backward()
        if batches == 1:
            return losses
        for _ in range(batches - 1):
            losses = [total + loss for total, loss in zip(losses, executor.forward_backward())]
        return [total / batches for total in losses]

    def _update(self, display: bool) -> None:
        iteration, optimizer = self.iteration, self.optimizer
        optimizer.rate = self.schedule(iteration)
        if self.schedule.stepped:
            self.tell(Stepped(iteration, self.schedule.current_step))
        if display:
            self.tell(Rated(iteration, optimizer.rate))
        optimizer.step()
        clipping = optimizer.clipping
        if clipping and (display or self.device.type == "cpu") and (scale := clipping.scale.item()) < 1:
            self.tell(Clipped(iteration, clipping.norm.item(), self.settings.clip_gradients, scale))

    def _display(self) -> None:
        self._look()
        now, (then, before) = time.perf_counter(), self._shown
        self._shown = (now, self.iteration)
        since, outputs = self.iteration - before, self.train_net.outputs()
        self.tell(Displayed(self.iteration, self.loss.value(), now - then, since, self.settings.display, outputs))

    def _due(self, interval: int) -> bool:
        return bool(interval) and self.iteration % interval == 0

    def _look(self) -> None:
        """Wait for the device, and raise what its flags say."""
        self.loss.flush()
        faults = [fault for part in (self.train_net, *self.tests) for fault in part.net.faults()]
        if faults:
            raise NetcError(diagnostic for fault in faults for diagnostic in fault.diagnostics)

    # ------------------------------------------------------------------ tests

    def test_all(self) -> list[tuple[Output, ...]]:
        """Run every test net; see `test`."""
        return [self.test(index) for index in range(len(self.tests))]

    def test(self, index: int = 0) -> tuple[Output, ...]:
        """Run `test_iter` batches of a test net; the mean of each element of its outputs.

        Raises NetcError E704 where batches give outputs of different sizes, and E301 for labels out of range.
        """
        test, batches = self.tests[index], self.settings.test_iter[index]
        self.tell(Testing(self.iteration, index))
        test.net.eval()
        try:
            loss, sums = test.summed(batches)
        finally:
            self.net.train()
        self._look()
        outputs = test.outputs(sums, 1 / batches)
        mean = float(loss) / batches if self.settings.test_compute_loss else None
        self.tell(Tested(self.iteration, index, outputs, mean))
        return outputs

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> str:
        """Write a snapshot; the path of its solver state. Raises NetcError E406 to E409; the last one stays whole."""
        self._look()
        paths = snapshot.SnapshotPaths.of(self.settings.prefix, self.iteration, self.settings.snapshot_format)
        self.tell(Snapshotting(self.iteration, paths.model, "model", paths.hdf5))
        snapshot.write_model(paths.model, self.net, self.train_net.graph, paths.hdf5, self.settings.snapshot_diff)
        sidecar.write_sidecar(sidecar.sidecar_path(paths.state), self._sidecar())
        self.tell(Snapshotting(self.iteration, paths.state, "state", paths.hdf5))
        snapshot.write_state(paths.state, self.optimizer, paths.model, self.schedule.current_step, paths.hdf5)
        return paths.state

    def restore(self, path: str) -> None:
        """Go on where a snapshot stopped, one of ours or of Caffe's.

        Raises NetcError E401 to E406 for files that cannot be read or are something else, E702, E703.
        """
        self.tell(Restoring(path))
        restored = snapshot.read_snapshot(path, self.net, self.optimizer)
        self.schedule.current_step = restored.current_step
        content, note = sidecar.read_sidecar(sidecar.sidecar_path(path), restored.iteration, restored.model)
        for text in (*restored.notes, *[f"{note}: it is not used"] * bool(note)):
            self.tell(Warned(text))
        if content is None:
            self._seek()
            return
        self.loss.restore(content["loss"])
        self._resumed = True
        sidecar.restore_random_state(content["random"])
        for part, states in zip((self.train_net, *self.tests), (content["train"], *content["test"])):
            for key, feed in part.feeds.items():
                if key in states:
                    feed.restore(states[key])

    def _sidecar(self) -> dict[str, Any]:
        train, *tests = [
            {key: feed.state() for key, feed in part.feeds.items()} for part in (self.train_net, *self.tests)
        ]
        return {
            "iteration": self.iteration,
            "model": snapshot.model_checksum(self.net),
            "loss": self.loss.state(),
            "random": sidecar.random_state(),
            "train": train,
            "test": tests,
            "world_size": 1,
        }

    def _seek(self) -> None:
        """Put the data where it must have been, for a snapshot that does not say."""
        settings = self.settings
        for feed in self.train_net.feeds.values():
            feed.seek(self.iteration * settings.iter_size)
        interval = settings.test_interval
        done = -(-self.iteration // interval) - (not settings.test_initialization) if interval else 0
        for test, batches in zip(self.tests, settings.test_iter):
            for feed in test.feeds.values():
                feed.seek(max(0, done) * batches)
