"""The solver: builds the nets and runs Caffe's training loop (`solver.cpp`)."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.compiler import Prepare, unprepared
from netc.diagnostics import NetcError
from netc.training.distributed.world import SINGLE_PROCESS, World
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
from netc.training.recipes.ema import WeightAverage
from netc.training.recipes.loss_scale import LossScale
from netc.training.snapshots.checkpoints import Checkpoints
from netc.training.snapshots.net_messages import text_of
from netc.training.solver.debug_executor import executor_for
from netc.training.solver.early_stopping import EarlyStopping
from netc.training.solver.executor import ExecutorFactory, StraightLineExecutor
from netc.training.solver.loss_meter import LossMeter
from netc.training.solver.lr_policy import Schedule, momentum_at
from netc.training.solver.net_builder import NetBuilder
from netc.training.solver.net_graphs import SolverNets
from netc.training.solver.optimizer import optimizer_for
from netc.training.solver.run_state import RunState
from netc.training.solver.settings_check import check_prefix, warnings_of
from netc.training.solver.tester import Tester

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netc.ir.layer import FileAccess
    from netc.runtime.lower import Net
    from netc.training.solver.settings import SolverSettings

CPU = torch.device("cpu")


class Solver:
    """Trains a net according to its settings and sends events to `listener`.

    `net` and `test_nets` share weights; `step`, `solve`, `test`, `snapshot` and `restore` are Caffe's. `executor`
    creates the executor of each net, `prepare` changes each graph before shapes are inferred, `world` is the group of
    processes that train together, `debug` checks every value for NaN, and with `overwrite` layers like HDF5Output
    replace files that netc did not write. Raises NetcError for invalid settings, nets, weights or data.
    """

    def __init__(
        self,
        settings: SolverSettings,
        *,
        device: torch.device = CPU,
        listener: Listener = ignore,
        executor: ExecutorFactory | None = None,
        prepare: Prepare = unprepared,
        world: World = SINGLE_PROCESS,
        debug: bool = False,
        overwrite: bool = False,
    ) -> None:
        listener(LogNote("solver.cpp:44", f"Initializing solver from parameters: \n{text_of(settings).rstrip()}"))
        for warning in (*settings.warnings, *warnings_of(settings)):
            listener(WarningIssued(warning.render(), rendered=True))
        if settings.snapshot or settings.options.watch:
            check_prefix(settings)
        self.device = device
        self.seed: int = world.share(settings.random_seed if settings.random_seed >= 0 else secrets.randbits(31))
        torch.manual_seed(self.seed + world.rank)
        make_executor = executor or executor_for(settings, listener, debug)
        files: FileAccess = "any" if overwrite else "own"
        builder = NetBuilder(settings, device, self.seed, make_executor, listener, prepare, world, files)
        self.state = _build(settings, listener, world, builder)
        self.checkpoints = Checkpoints(self.state)
        self.tester = Tester(self.state, self.checkpoints)
        self.on_start: list[Callable[[], None]] = []
        """Called before the passes of an iteration."""
        self.on_gradients_ready = [self.state.average_gradients] if self.state.average_gradients else []
        """Called between the passes of an iteration and its update."""
        self._data_monitor = self.state.data_monitor(self.state.train)
        self._last_display = (time.perf_counter(), 0)
        listener(LogNote("solver.cpp:57", "Solver scaffolding done."))

    # ------------------------------------------------------------------ properties

    @property
    def settings(self) -> SolverSettings:
        """The settings of the solver."""
        return self.state.settings

    @property
    def net(self) -> Net:
        """The train net."""
        return self.state.net

    @property
    def test_nets(self) -> list[Net]:
        """The test nets."""
        return [test.net for test in self.state.tests]

    @property
    def iteration(self) -> int:
        """Updates done."""
        return self.state.iteration

    @property
    def learning_rate(self) -> float:
        """The rate of the next update, without the factors of layers."""
        return self.state.schedule.peek(self.iteration)

    def set_base_lr(self, value: float) -> None:
        """Replace the setting `base_lr` from the next update on. Raises NetcError E603 for an invalid value."""
        self.state.settings = self.settings.with_values(base_lr=value)
        self.state.schedule.use(self.settings)

    def close(self) -> None:
        """Stop reading data."""
        for part in self.state.nets:
            part.close()

    def __enter__(self) -> Solver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ training

    def solve(self, iterations: int | None = None) -> None:
        """Train up to `max_iter`, or for `iterations`; then write a snapshot, display the loss and test, if due.

        After a requested stop only the snapshot is written. Raises NetcError E602 if neither `max_iter` nor
        `iterations` is given, and as `step`.
        """
        state, settings = self.state, self.settings
        if iterations is None and not settings.max_iter and "max_iter" not in settings.fields:
            raise NetcError("`max_iter` is missing", code="E602", span=settings.fields.span())
        if settings.snapshot_after_train:
            check_prefix(settings)
        if settings.writes_snapshots:
            self.checkpoints.begin()
        last = settings.max_iter if iterations is None else self.iteration + iterations
        images = state.train.batch_size * settings.iter_size * state.world.world_size
        state.listener(RunStarted(self.net.graph.name, settings.lr_policy, self.iteration, last, images))
        if self.iteration > last:
            state.listener(WarningIssued(f"iteration {self.iteration} is after `max_iter` {last}: nothing is trained"))
        self._train(last - self.iteration)
        due = not self._due(settings.snapshot) and self.checkpoints.written != self.iteration
        if settings.snapshot_after_train and (due or self.checkpoints.failed):
            self.snapshot()
        self.checkpoints.raise_failure()
        if not state.stopping:
            self._conclude()
        self.checkpoints.release_positions()
        state.raise_device_errors()
        self._data_monitor.report(only_skipped=True)
        state.listener(RunFinished(self.iteration, state.stopping))

    def _conclude(self) -> None:
        state = self.state
        self.checkpoints.hold_positions()
        if self._due(self.settings.display):
            state.loss.add(self.iteration, state.train.executor.forward())
            state.listener(FinalLoss(self.iteration, state.loss.value()))
        if self._due(self.settings.test_interval):
            self.test_all()
            state.stopping = False  # the run is complete: there is nothing left to stop
            self.checkpoints.raise_failure()

    def step(self, iterations: int) -> None:
        """Train for `iterations`, with the tests, log lines and snapshots that are due, or until a stop is requested.

        Raises NetcError E701 for a loss that is NaN or infinite, E301 for labels out of range, and the errors of
        snapshots and data; if the file system refuses a snapshot, after the last iteration.
        """
        self._train(iterations)
        self.checkpoints.release_positions()
        self.checkpoints.raise_failure()

    def _train(self, iterations: int) -> None:
        state = self.state
        if not state.loss_restored:
            state.loss.restart(self.iteration)
        state.loss_restored = state.stopping = False
        self._last_display = (time.perf_counter(), self.iteration)
        for _ in range(iterations):
            self._iterate()
            if state.stopping:
                break

    def _iterate(self) -> None:
        state, settings, executor = self.state, self.settings, self.state.train.executor
        executor.clear_gradients()
        if self._due(settings.test_interval) and (self.iteration or settings.test_initialization):
            self.checkpoints.hold_positions()
            self.test_all()
            if state.stopping:
                return
        for callback in self.on_start:
            callback()
        display = self._due(settings.display)
        executor.debug_info = display and settings.debug_info
        state.loss.add(self.iteration, self._passes())
        if display:
            self._display()
        for callback in self.on_gradients_ready:
            callback()
        self._update(display)
        state.listener(IterationFinished(self.iteration, state.optimizer.rate))
        request = state.agree_on_request()
        if self._due(settings.snapshot) or request.writes:
            self.checkpoints.try_to(self.checkpoints.write)
        state.stopping = request.stops

    def _passes(self) -> Sequence[Tensor]:
        """Run forward and backward over `iter_size` batches; return the parts of the mean loss."""
        executor, batches = self.state.train.executor, self.settings.iter_size
        losses = executor.forward_backward()
        if batches == 1:
            return losses
        for _ in range(batches - 1):
            losses = [total + loss for total, loss in zip(losses, executor.forward_backward())]
        return [total / batches for total in losses]

    def apply_update(self) -> None:
        """Change the weights by the gradients that they have, as the end of an iteration does."""
        self._update(display=False)

    def _update(self, display: bool) -> None:
        state, iteration, optimizer = self.state, self.iteration, self.state.optimizer
        self._set_learning_rate(display)
        if state.loss_scale and not state.loss_scale.unscale():
            optimizer.iteration += 1
            state.listener(UpdateSkipped(iteration, state.loss_scale.value))
            return
        optimizer.step()
        if state.weight_average:
            state.weight_average.update()
        clipping = optimizer.clipping
        if clipping and (display or self.device.type == "cpu") and (scale := clipping.scale.item()) < 1:
            norm, limit = clipping.norm.item(), self.settings.clip_gradients
            state.listener(GradientsClipped(iteration, norm, limit, scale))

    def _set_learning_rate(self, display: bool) -> None:
        state, settings, iteration, schedule = self.state, self.settings, self.iteration, self.state.schedule
        state.optimizer.rate = schedule(iteration)
        state.optimizer.set_momentum(momentum_at(settings, iteration, state.optimizer.rate))
        if schedule.stepped:
            state.listener(LearningRateStepped(iteration, schedule.current_step, settings.lr_policy))
        if display:
            if settings.lr_policy == "plateau" and schedule.last_event > schedule.iteration - settings.display:
                state.listener(NewLowestLoss(iteration, schedule.least_loss))
            state.listener(LearningRateDisplayed(iteration, state.optimizer.rate))

    def _display(self) -> None:
        state = self.state
        state.raise_device_errors()
        now, (then, before) = time.perf_counter(), self._last_display
        self._last_display = (now, self.iteration)
        iterations, outputs, interval = self.iteration - before, state.train.outputs(), self.settings.display
        state.listener(
            IterationDisplayed(self.iteration, state.loss.value(), now - then, iterations, interval, outputs)
        )
        self._data_monitor.report()

    def _due(self, interval: int) -> bool:
        return bool(interval) and self.iteration % interval == 0

    # ------------------------------------------------------------------ tests

    def test_all(self) -> list[tuple[Output, ...]]:
        """Run every test net, see `test`, and keep the best snapshot with `watch`; a requested stop interrupts it."""
        return self.tester.test_all()

    def test(self, index: int = 0) -> tuple[Output, ...]:
        """Run `test_iter` batches of a test net; return the mean of each output element, or () if interrupted.

        With `ema_decay` the averaged weights are tested. Raises NetcError E704 if batches return outputs of different
        sizes, and E301 for labels out of range.
        """
        return self.tester.test(index)

    # ------------------------------------------------------------------ snapshots

    def snapshot(self) -> str:
        """Write a snapshot; return the path of its solver state.

        Raises NetcError E406 to E409, and E301 and E701 for errors on the device; the previous snapshot stays intact.
        """
        return self.checkpoints.write()

    def restore(self, path: str) -> None:
        """Resume from a snapshot, netc's or Caffe's; `path` is its .solverstate.

        Raises NetcError E401 to E406 for files that cannot be read or have another format, E702, E703.
        """
        self.checkpoints.restore(path)


def _build(settings: SolverSettings, listener: Listener, world: World, builder: NetBuilder) -> RunState:
    """Build the nets and the other parts of a run."""
    options, graphs = settings.options, SolverNets(settings, listener, builder.prepare)
    train = builder.train_net(graphs.train())
    optimizer = optimizer_for(settings, train.net.blobs)
    optimizer.keep_updates = settings.snapshot_diff
    tests = [builder.test_net(graph, index, train.net) for index, graph in enumerate(graphs.tests())]
    train.net.train()
    average_gradients = world.join(train.net, settings.iter_size, options.sync_batch_norm)  # before weights are copied
    loss = LossMeter(settings.average_loss, train.executor.losses, lambda *loss: listener(LossMeasured(*loss)))
    schedule = Schedule(settings, lambda: world.share(loss.value()))  # all processes follow one loss and one rate
    state = RunState(settings, listener, world, train, tests, optimizer, loss, schedule, average_gradients)
    if options.ema_decay:
        state.weight_average = WeightAverage(train.net, options.ema_decay)
    if options.watch:
        state.early_stopping = EarlyStopping(settings, [test.graph for test in tests])
    if options.amp == "fp16" and isinstance(train.executor, StraightLineExecutor):
        state.loss_scale = LossScale(train.executor, optimizer)
    return state
