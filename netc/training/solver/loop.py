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
from netc.training.data_monitor import data_watch
from netc.training.distributed.world import ALONE, World
from netc.training.log.events import (
    FinalLoss,
    GradientsClipped,
    IterationDisplayed,
    IterationFinished,
    LearningRateDisplayed,
    LearningRateStepped,
    Listener,
    LogNote,
    LossMeasured,
    NewLowestLoss,
    Output,
    RunFinished,
    RunStarted,
    UpdateSkipped,
    WarningIssued,
    ignore,
)
from netc.training.recipes.ema import Average
from netc.training.recipes.loss_scale import LossScale
from netc.training.snapshots.checkpoints import Checkpoints
from netc.training.snapshots.net_messages import text_of
from netc.training.solver.early_stopping import EarlyStopping
from netc.training.solver.executor import ExecutorFactory, StraightExecutor
from netc.training.solver.loss_meter import LossMeter
from netc.training.solver.lr_policy import Schedule
from netc.training.solver.net_graphs import SolverNets
from netc.training.solver.node_by_node import executor_for
from netc.training.solver.optimizers import optimizer_for
from netc.training.solver.settings import SolverSettings
from netc.training.solver.settings_check import check_prefix
from netc.training.solver.signals import Request, no_request
from netc.training.solver.solver_net import PLAIN, Assembler, Extension
from netc.training.solver.tester import Tester

CPU = torch.device("cpu")


class Solver:
    """Trains a net as its settings say, and tells `tell` of what happens.

    `net` and `test_nets` share weights; `step`, `solve`, `test`, `snapshot` and `restore` are Caffe's. `executor` makes
    what runs each net, `extension` changes nets while they are made, `team` is who trains along, and `debug` looks at
    every value for NaN. Raises NetcError for settings, nets, weights or data that are at fault.
    """

    def __init__(
        self,
        settings: SolverSettings,
        *,
        device: torch.device = CPU,
        tell: Listener = ignore,
        executor: ExecutorFactory | None = None,
        extension: Extension = PLAIN,
        team: World = ALONE,
        debug: bool = False,
    ) -> None:
        self.settings, self.tell, self.device, self.team = settings, tell, device, team
        tell(LogNote("solver.cpp:44", f"Initializing solver from parameters: \n{text_of(settings).rstrip()}"))
        for warning in settings.warnings:
            tell(WarningIssued(warning.render()))
        if settings.snapshot or settings.options.watch:
            check_prefix(settings)
        self.seed: int = team.share(settings.random_seed if settings.random_seed >= 0 else secrets.randbits(31))
        torch.manual_seed(self.seed + team.rank)
        make = executor or executor_for(settings, tell, debug)
        assembler = Assembler(settings, device, self.seed, make, tell, extension, team)
        nets = SolverNets(settings, tell, extension.prepare)
        self.train_net = assembler.train_net(nets.train())
        self.optimizer = optimizer_for(settings, self.net.blobs)
        self.optimizer.keep_updates = settings.snapshot_diff
        self.tests = [assembler.test_net(graph, index, self.net) for index, graph in enumerate(nets.tests())]
        self.net.train()
        self._complete()
        tell(LogNote("solver.cpp:57", "Solver scaffolding done."))

    def _complete(self) -> None:
        """What a run keeps beside its nets."""
        settings, options = self.settings, self.settings.options
        self.on_start: list[Callable[[], None]] = []
        """Called before the passes of an iteration."""
        self.on_gradients_ready: list[Callable[[], None]] = []
        """Called between the passes of an iteration and its update."""
        if averaging := self.team.join(self.net, settings.iter_size, options.sync_batch_norm):
            self.on_gradients_ready.append(averaging)
        executor = self.train_net.executor
        self.loss = LossMeter(settings.average_loss, executor.losses, lambda *loss: self.tell(LossMeasured(*loss)))
        self.schedule = Schedule(settings, lambda: self.team.share(self.loss.value()))  # one loss and one rate for all
        self.average = Average(self.net, options.ema_decay) if options.ema_decay else None
        self.watch = EarlyStopping(settings, [test.graph for test in self.tests]) if options.watch else None
        scaled = options.amp == "fp16" and isinstance(executor, StraightExecutor)
        self.loss_scale = LossScale(executor, self.optimizer) if scaled else None  # type: ignore[arg-type]
        self.checkpoints = Checkpoints(self)
        self.tester = Tester(self)
        self.requested: Callable[[], Request] = no_request
        """Asked after each iteration, and between the batches of a test."""
        self.stopping = False
        """Whether somebody asked to stop, since `step` or `solve` was called."""
        self._data_watch = data_watch(self, self.train_net)
        self._shown = (time.perf_counter(), 0)
        self._resumed = False

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

        Where somebody asks to stop, only the snapshot is made. Raises NetcError E602 where neither is known, and
        whatever `step` raises.
        """
        settings = self.settings
        if iterations is None and not settings.max_iter and "max_iter" not in settings.fields:
            raise NetcError("`max_iter` is missing", code="E602", span=settings.fields.span())
        if settings.snapshot_after_train:
            check_prefix(settings)
        last = settings.max_iter if iterations is None else self.iteration + iterations
        images = self.train_net.rows * settings.iter_size * self.team.world_size
        self.tell(RunStarted(self.net.graph.name, settings.lr_policy, self.iteration, last, images))
        self.step(last - self.iteration)
        if settings.snapshot_after_train and not self._due(settings.snapshot):
            self.snapshot()
        if not self.stopping:
            self._conclude()
        self.look()
        self._data_watch.tell(only_skipped=True)
        self.tell(RunFinished(self.iteration, self.stopping))

    def _conclude(self) -> None:
        if self._due(self.settings.display):
            self.loss.add(self.iteration, self.train_net.executor.forward())
            self.tell(FinalLoss(self.iteration, self.loss.value()))
        if self._due(self.settings.test_interval):
            self.test_all()
            self.stopping = False  # all is done: there is nothing left to stop

    def step(self, iterations: int) -> None:
        """Train for so many iterations, with the tests, log lines and snapshots that fall due, or until asked to stop.

        Raises NetcError E701 for a loss that is NaN or infinite, E301 for labels out of range, and what snapshots and
        data raise.
        """
        if not self._resumed:
            self.loss.restart(self.iteration)
        self._resumed = self.stopping = False
        self._shown = (time.perf_counter(), self.iteration)
        for _ in range(iterations):
            self._iterate()
            if self.stopping:
                break

    def _iterate(self) -> None:
        settings, executor = self.settings, self.train_net.executor
        executor.clear_gradients()
        if self._due(settings.test_interval) and (self.iteration or settings.test_initialization):
            self.test_all()
            if self.stopping:
                return
        for callback in self.on_start:
            callback()
        display = self._due(settings.display)
        executor.talks = display and settings.debug_info
        self.loss.add(self.iteration, self._passes())
        if display:
            self._display()
        for callback in self.on_gradients_ready:
            callback()
        self._update(display)
        self.tell(IterationFinished(self.iteration, self.optimizer.rate))
        request = self.team.agree(self.requested())
        if self._due(settings.snapshot) or request is Request.SNAPSHOT:
            self.snapshot()
        self.stopping = request is Request.STOP

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
        iteration, optimizer, schedule = self.iteration, self.optimizer, self.schedule
        optimizer.rate = schedule(iteration)
        if schedule.stepped:
            self.tell(LearningRateStepped(iteration, schedule.current_step, self.settings.lr_policy))
        if display:
            if self.settings.lr_policy == "plateau" and schedule.last_event > iteration - self.settings.display:
                self.tell(NewLowestLoss(iteration, schedule.least_loss))
            self.tell(LearningRateDisplayed(iteration, optimizer.rate))
        if self.loss_scale and not self.loss_scale.unscale():
            optimizer.iteration += 1
            self.tell(UpdateSkipped(iteration, self.loss_scale.value))
            return
        optimizer.step()
        if self.average:
            self.average.update()
        clipping = optimizer.clipping
        if clipping and (display or self.device.type == "cpu") and (scale := clipping.scale.item()) < 1:
            self.tell(GradientsClipped(iteration, clipping.norm.item(), self.settings.clip_gradients, scale))

    def _display(self) -> None:
        self.look()
        now, (then, before) = time.perf_counter(), self._shown
        self._shown = (now, self.iteration)
        since, outputs = self.iteration - before, self.train_net.outputs()
        self.tell(
            IterationDisplayed(self.iteration, self.loss.value(), now - then, since, self.settings.display, outputs)
        )
        self._data_watch.tell()

    def _due(self, interval: int) -> bool:
        return bool(interval) and self.iteration % interval == 0

    def look(self) -> None:
        """Wait for the device, and raise what its flags say."""
        self.loss.flush()
        faults = [fault for part in (self.train_net, *self.tests) for fault in part.net.faults()]
        if faults:
            raise NetcError(diagnostic for fault in faults for diagnostic in fault.diagnostics)

    # ------------------------------------------------------------------ tests

    def test_all(self) -> list[tuple[Output, ...]]:
        """Run every test net, see `test`, and look at the watched output; a stop that is asked for breaks it off."""
        return self.tester.all()

    def test(self, index: int = 0) -> tuple[Output, ...]:
        """Run `test_iter` batches of a test net; the mean of each element of its outputs, nothing where asked to stop.

        With `ema_decay` the averaged weights are tested. Raises NetcError E704 where batches give outputs of different
        sizes, and E301 for labels out of range.
        """
        return self.tester.one(index)

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> str:
        """Write a snapshot; the path of its solver state. Raises NetcError E406 to E409; the last one stays whole."""
        self.look()
        return self.checkpoints.write()

    def restore(self, path: str) -> None:
        """Go on where a snapshot stopped, one of ours or of Caffe's.

        Raises NetcError E401 to E406 for files that cannot be read or are something else, E702, E703.
        """
        self.checkpoints.restore(path)

    def resumed_loss(self, state: dict[str, Any]) -> None:
        """Go on with the averaged loss of a snapshot."""
        self.loss.restore(state)
        self._resumed = True
