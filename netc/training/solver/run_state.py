"""The state of one training run, which the training loop, the tests and the snapshots share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from netc.diagnostics import NetcError
from netc.training.data_monitor import DataMonitor
from netc.training.distributed.world import SINGLE_PROCESS, World
from netc.training.solver.signals import Request, no_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.runtime.lower import Net
    from netc.training.log.events import Listener
    from netc.training.recipes.ema import WeightAverage
    from netc.training.recipes.loss_scale import LossScale
    from netc.training.solver.early_stopping import EarlyStopping
    from netc.training.solver.loss_meter import LossMeter
    from netc.training.solver.lr_policy import Schedule
    from netc.training.solver.optimizer import CaffeOptimizer
    from netc.training.solver.runnable_net import RunnableNet
    from netc.training.solver.settings import SolverSettings


@dataclass(eq=False)
class RunState:
    """The nets of a run, their optimizer and schedule, and pending requests."""

    settings: SolverSettings
    listener: Listener
    world: World
    train: RunnableNet
    tests: list[RunnableNet]
    optimizer: CaffeOptimizer
    loss: LossMeter
    schedule: Schedule
    average_gradients: Callable[[], None] | None = None
    """Averages gradients over all processes, between backward and update; None for a single process."""
    weight_average: WeightAverage | None = None
    """The moving average of the weights, with `ema_decay`."""
    early_stopping: EarlyStopping | None = None
    """The best test so far, with `watch`."""
    loss_scale: LossScale | None = None
    """With `amp: "fp16"`."""
    loss_restored: bool = False
    """Whether the averaged loss came from a snapshot, so that the next `step` must not restart it."""
    requested: Callable[[], Request] = no_request
    """Called after each iteration and between the batches of a test."""
    stopping: bool = False
    """Whether a stop was requested since `step` or `solve` was called."""

    @property
    def net(self) -> Net:
        """The train net."""
        return self.train.net

    @property
    def device(self) -> torch.device:
        """The device of the train net's blobs; the CPU for a net without any."""
        return self.net.blobs[0].tensor.device if self.net.blobs else torch.device("cpu")

    @property
    def nets(self) -> tuple[RunnableNet, ...]:
        """The train net, then the test nets."""
        return self.train, *self.tests

    @property
    def iteration(self) -> int:
        """Updates done."""
        return self.optimizer.iteration

    def agree_on_request(self) -> Request:
        """Return the request that all processes of the run follow now."""
        return self.world.agree(self.requested())

    def data_monitor(self, net: RunnableNet, name: str = "") -> DataMonitor:
        """Return a monitor of one net's feeds; processes count together only if records may be skipped at all."""
        world = self.world if self.settings.options.skip_bad else SINGLE_PROCESS
        return DataMonitor(net.feeds, self.listener, name, world.gather)

    def raise_device_errors(self) -> None:
        """Wait for the device and raise the errors that it has flagged: NetcError E301, E701."""
        self.loss.flush()
        errors = [error for part in self.nets for error in part.net.faults()]
        if errors:
            raise NetcError(diagnostic for error in errors for diagnostic in error.diagnostics)
