"""A net of a solver with what runs and feeds it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netc.compiler import Prepare, lowered, unprepared
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.paths import find
from netc.runtime.fillers import generator_of
from netc.runtime.lower import Net
from netc.training.distributed.world import World
from netc.training.feeds import LayerFeed, feeds_of
from netc.training.log.events import FinetuningLoaded, FinetuningStarted, Listener, Output, WarningIssued
from netc.training.recipes.fine_tuning import report_table, start_from
from netc.training.solver.executor import Executor, ExecutorFactory
from netc.training.solver.settings import SolverSettings


@dataclass(frozen=True, eq=False)
class SolverNet:
    """A net with what runs and feeds it."""

    net: Net
    graph: Graph
    """With its data layers."""
    executor: Executor
    feeds: dict[str, LayerFeed]
    """By node key."""

    def __enter__(self) -> SolverNet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading data."""
        for feed in self.feeds.values():
            feed.close()

    @property
    def rows(self) -> int:
        """Items of a batch, 0 where the feeds do not say."""
        return max((int(getattr(feed, "batch_size", 0)) for feed in self.feeds.values()), default=0)

    def outputs(self, tensors: Sequence[Tensor] | None = None, scale: float = 1.0) -> tuple[Output, ...]:
        """The elements of the output blobs after a pass, or of tensors like them, times `scale`."""
        weights = dict(self.graph.losses)
        return tuple(
            Output(self.graph.values[name].blob, value * scale, weights.get(name, 0.0))
            for name, tensor in zip(self.graph.outputs, self.executor.outputs if tensors is None else tensors)
            for value in tensor.detach().flatten().tolist()
        )

    def summed(self, batches: int, interrupted: Callable[[], bool]) -> tuple[Tensor, list[Tensor]] | None:
        """The loss and the outputs of so many batches, summed on the device; None where it was interrupted.

        Raises NetcError E704 where batches give outputs of different sizes.
        """
        loss, sums = torch.zeros(()), list[Tensor]()
        for _ in range(batches):
            if interrupted():
                return None
            for part in self.executor.forward():
                loss = loss.to(part.device) + part
            outputs = self.executor.outputs
            if not sums:
                sums = [torch.zeros_like(output) for output in outputs]
            if [output.shape for output in outputs] != [total.shape for total in sums]:
                raise NetcError("batches of a test give outputs of different sizes: they have no mean", code="E704")
            sums = [total + output for total, output in zip(sums, outputs)]
        return loss, sums


@dataclass(frozen=True)
class Extension:
    """What a program does to a solver's nets while they are made: netc.pycaffe runs Python layers by it."""

    prepare: Prepare = unprepared
    """Changes each graph before shapes are inferred."""
    lowered: Callable[[Graph, Net], None] = lambda graph, net: None
    """Called with the train net, when its weights are filled and before files are copied in."""


PLAIN = Extension()


@dataclass(frozen=True)
class Assembler:
    """Makes a solver's nets: weights filled, or copied in from files, on the device, with their feeds."""

    settings: SolverSettings
    device: torch.device
    seed: int
    executor: ExecutorFactory
    tell: Listener
    extension: Extension
    team: World

    def train_net(self, graph: Graph) -> SolverNet:
        """The train net; weights with `lr_mult: 0` ask for no gradient. Raises NetcError as `lower` and files do."""
        net = lowered(graph, self._generator)
        self.extension.lowered(graph, net)
        for blob in net.blobs:
            if blob.parameter.rate_factor == 0 and isinstance(blob.tensor, nn.Parameter):
                blob.tensor.requires_grad_(False)
        return self._complete(net, graph, None)

    def test_net(self, graph: Graph, index: int, train: Net) -> SolverNet:
        """A test net on the train net's weights. Raises NetcError as `lower` and files do."""
        return self._complete(lowered(graph, self._generator, train), graph, index)

    @functools.cached_property
    def _generator(self) -> torch.Generator:
        return generator_of(self.seed)

    def _complete(self, net: Net, graph: Graph, test: int | None) -> SolverNet:
        net.to(self.device)
        if self.settings.options.channels_last:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for file in self.settings.weights:
            self._finetune(net, file, test)
        seed = self.seed + 1000 * (0 if test is None else test + 1)
        skip_bad = self.settings.options.skip_bad
        feeds = feeds_of(graph, self.device, seed, self.team.rank, self.team.world_size, skip_bad)
        return SolverNet(net, graph, self.executor(net, graph, feeds), feeds)

    def _finetune(self, net: Net, file: str, test: int | None) -> None:
        path, note = find(file, self.settings.file)
        self.tell(FinetuningStarted(file))
        if note:
            self.tell(WarningIssued(note))
        options = self.settings.options
        renames = options.renames
        if test is not None:  # it has the train net's weights already; what it lacks is no fault
            renames = {old: new for old, new in renames.items() if any(blob.layer == new for blob in net.blobs)}
        report = start_from(net, path, renames, options.allow_mismatch)
        table = tuple(report_table(file, report)) if test is None else ()
        self.tell(FinetuningLoaded(file, report.loaded, report.skipped, report.missing, test, table))
