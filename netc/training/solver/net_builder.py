"""Builds a solver's nets: graph to runnable net, with weights and feeds."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from netc.compiler import Prepare, lowered
from netc.data.feeds.net_feeds import feeds_of
from netc.paths import find
from netc.runtime.file_access import allow_files
from netc.runtime.fillers import generator_of
from netc.runtime.memory_check import check_pass_memory
from netc.runtime.net_weights import unused
from netc.training.log.events import FinetuningLoaded, FinetuningStarted, Listener, WarningIssued
from netc.training.recipes.fine_tuning import report_table, start_from
from netc.training.solver.runnable_net import RunnableNet

if TYPE_CHECKING:
    from netc.ir.graph import Graph
    from netc.ir.layer import FileAccess
    from netc.runtime.lower import Net
    from netc.training.distributed.world import World
    from netc.training.solver.executor import ExecutorFactory
    from netc.training.solver.settings import SolverSettings

TEST_SEED_STRIDE = 1000
"""Distance between the random seeds of the train net and of each test net."""


@dataclass(frozen=True)
class NetBuilder:
    """Builds a solver's nets on the device, with weights from fillers or files, and with their feeds."""

    settings: SolverSettings
    device: torch.device
    seed: int
    executor: ExecutorFactory
    listener: Listener
    prepare: Prepare
    """Modifies each graph before shapes are inferred."""
    world: World
    files: FileAccess = "own"
    """Whether layers may write files."""

    def train_net(self, graph: Graph) -> RunnableNet:
        """Build the train net; weights with `lr_mult: 0` require no gradient.

        Raises NetcError as `lower` does, and for weights files that cannot be read or do not match.
        """
        net = lowered(graph, self._generator)
        for blob in net.blobs:
            if blob.parameter.rate_factor == 0 and isinstance(blob.tensor, nn.Parameter):
                blob.tensor.requires_grad_(False)
        return self._complete(net, graph, None)

    def test_net(self, graph: Graph, index: int, train: Net) -> RunnableNet:
        """Build a test net that shares the train net's weights. Raises NetcError as `train_net` does."""
        return self._complete(lowered(graph, self._generator, train), graph, index)

    @functools.cached_property
    def _generator(self) -> torch.Generator:
        return generator_of(self.seed)

    def _complete(self, net: Net, graph: Graph, test: int | None) -> RunnableNet:
        check_pass_memory(net.graph, self.device)
        net.to(self.device)
        allow_files(net, "none" if self.world.rank else self.files)
        if self.settings.options.channels_last:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for file in self.settings.weights:
            self._load_weights(net, file, test)
        seed = self.seed + TEST_SEED_STRIDE * (0 if test is None else test + 1)
        skip_bad = self.settings.options.skip_bad
        feeds = feeds_of(graph, self.device, seed, self.world.rank, self.world.world_size, skip_bad)
        return RunnableNet(net, graph, self.executor(net, graph, feeds), feeds)

    def _load_weights(self, net: Net, file: str, test: int | None) -> None:
        path, note = find(file, self.settings.file)
        self.listener(FinetuningStarted(file))
        if note:
            self.listener(WarningIssued(note))
        options = self.settings.options
        renames = options.renames
        if test is not None:  # it already has the train net's weights; layers that it lacks are not an error
            renames = {old: new for old, new in renames.items() if any(blob.layer == new for blob in net.blobs)}
        report = start_from(net, path, renames, options.allow_mismatch)
        table = tuple(report_table(file, report)) if test is None else ()
        if test is None and (warning := unused(report, file)):
            self.listener(WarningIssued(warning.render(), rendered=True))
        self.listener(FinetuningLoaded(file, report.loaded, report.skipped, report.missing, test, table))
