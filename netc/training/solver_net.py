"""A net of a solver with what runs and feeds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from netc.compiler import copy_weights
from netc.diagnostics import NetcError
from netc.ir.graph import Graph
from netc.passes.data_to_inputs import data_to_inputs
from netc.paths import find
from netc.runtime.fillers import generator_of
from netc.runtime.lower import Net, lower
from netc.training.events import Finetuned, Finetuning, Listener, Output, Warned
from netc.training.executor import Executor, ExecutorFactory
from netc.training.feeds import Feed, feeds_of
from netc.training.optimizer import rate_factor
from netc.training.settings import SolverSettings


@dataclass(frozen=True, eq=False)
class SolverNet:
    """A net with what runs and feeds it."""

    net: Net
    graph: Graph
    """With its data layers."""
    executor: Executor
    feeds: dict[str, Feed]
    """By node key."""

    def __enter__(self) -> SolverNet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading data."""
        for feed in self.feeds.values():
            feed.close()

    def outputs(self, tensors: Sequence[Tensor] | None = None, scale: float = 1.0) -> tuple[Output, ...]:
        """The elements of the output blobs after a pass, or of tensors like them, times `scale`."""
        weights = dict(self.graph.losses)
        return tuple(
            Output(self.graph.values[name].blob, value * scale, weights.get(name, 0.0))
            for name, tensor in zip(self.graph.outputs, self.executor.outputs if tensors is None else tensors)
            for value in tensor.detach().flatten().tolist()
        )

    def summed(self, batches: int) -> tuple[Tensor, list[Tensor]]:
        """The loss and the outputs of so many batches, summed on the device.

        Raises NetcError E704 where batches give outputs of different sizes.
        """
        loss, sums = torch.zeros(()), list[Tensor]()
        for _ in range(batches):
            for part in self.executor.forward():
                loss = loss.to(part.device) + part
            outputs = self.executor.outputs
            if not sums:
                sums = [torch.zeros_like(output) for output in outputs]
            if [output.shape for output in outputs] != [total.shape for total in sums]:
                raise NetcError("batches of a test give outputs of different sizes: they have no mean", code="E704")
            sums = [total + output for total, output in zip(sums, outputs)]
        return loss, sums


class Assembler:
    """Makes a solver's nets: weights filled, or copied in from files, on the device, with their feeds."""

    def __init__(
        self, settings: SolverSettings, device: torch.device, seed: int, executor: ExecutorFactory, tell: Listener
    ) -> None:
        self.settings, self.device, self.seed, self.tell = settings, device, seed, tell
        self._executor, self._generator = executor, generator_of(seed)
        self._train: Net | None = None

    def train_net(self, graph: Graph) -> SolverNet:
        """The train net; weights with `lr_mult: 0` ask for no gradient. Raises NetcError as `lower` and files do."""
        self._train = lower(data_to_inputs(graph), self._generator)
        for blob in self._train.blobs:
            if rate_factor(blob) == 0 and isinstance(blob.tensor, nn.Parameter):
                blob.tensor.requires_grad_(False)
        return self._complete(self._train, graph, None)

    def test_net(self, graph: Graph, index: int) -> SolverNet:
        """A test net on the train net's weights. Raises NetcError as `lower` and files do."""
        return self._complete(lower(data_to_inputs(graph), self._generator, self._train), graph, index)

    def _complete(self, net: Net, graph: Graph, test: int | None) -> SolverNet:
        net.to(self.device)
        for file in self.settings.weights:
            self._finetune(net, file, test)
        feeds = feeds_of(graph, self.device, self.seed + 1000 * (0 if test is None else test + 1))
        return SolverNet(net, graph, self._executor(net, graph, feeds), feeds)

    def _finetune(self, net: Net, file: str, test: int | None) -> None:
        path, note = find(file, self.settings.file)
        self.tell(Finetuning(file))
        if note:
            self.tell(Warned(note))
        report = copy_weights(net, path)
        self.tell(Finetuned(file, report.loaded, report.skipped, report.missing, test))
