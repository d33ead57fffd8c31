"""Executors: forward and backward passes of a net for the solver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from netc.data.feeds.feed import LayerFeed
from netc.diagnostics import NetcError
from netc.ir.graph import Graph, Node
from netc.ir.layer_host import PythonCode, not_allowed
from netc.runtime.lower import Net
from netc.training.recipes.mix_up import MixUp
from netc.training.solver.netc_options import NetcOptions

if TYPE_CHECKING:
    from netc.runtime.straight_line import Program

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Half-precision types by their name in `amp`."""


class Executor(Protocol):
    """Runs a net over its next batch. pycaffe has its own executor, which runs node by node."""

    losses: tuple[str, ...]
    """Names of the blobs that contribute to the loss, in the order in which the passes return them."""
    outputs: Sequence[Tensor]
    """The net's output blobs (`Graph.outputs`) after a pass, detached."""
    debug_info: bool
    """Whether to log the lines of `debug_info`; only executors that run node by node can."""

    def clear_gradients(self) -> None:
        """Reset all gradients, at the start of an iteration."""

    def forward(self) -> Sequence[Tensor]:
        """Run the net; return what each blob of `losses` adds to the loss, weighted, as detached scalars."""

    def forward_backward(self) -> Sequence[Tensor]:
        """Do the same as `forward`, and add gradients to `grad` of the parameters."""


ExecutorFactory = Callable[[Net, Graph, Mapping[str, LayerFeed]], Executor]
"""Creates the executor of a net from the net, its graph with data layers, and the feeds of these by node key."""


class StraightLineExecutor:
    """Runs the straight-line code. Raises NetcError E607 for a data layer without a feed.

    It applies the options `amp`, `compile`, `channels_last` and, in training, `mix_up`.
    """

    debug_info = False

    def __init__(
        self, net: Net, graph: Graph, feeds: Mapping[str, LayerFeed], options: NetcOptions | None = None
    ) -> None:
        self.net, self.options = net, options or NetcOptions()
        self.feeds = [feed for _, feed in with_feed(graph, feeds)]
        self.scale = 1.0
        """The factor of the loss in the backward pass, and thus of all gradients."""
        self.outputs: Sequence[Tensor] = ()
        self.losses = tuple(graph.values[name].blob for name, _ in graph.losses)
        self._weights = [weight for _, weight in graph.losses]
        self._loss_names = [name for name, _ in graph.losses]
        fetches = list(dict.fromkeys([*self._loss_names, *graph.outputs]))
        self._loss_at = [fetches.index(name) for name in self._loss_names]
        self._output_at = [fetches.index(name) for name in graph.outputs]
        self._program = self._training_program = self._mixed_precision(self._compiled(net.graph.inputs, fetches))
        if self.options.mix_up and graph.state.phase == "TRAIN":
            mixed = MixUp(net.graph, fetches, self.options.mix_up, self._compiled)
            self._training_program = self._mixed_precision(mixed)
        self._parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]

    def clear_gradients(self) -> None:
        """Drop the gradients: the first backward pass creates new ones, which is cheaper than adding to zeros."""
        for parameter in self._parameters:
            parameter.grad = None

    def forward(self) -> list[Tensor]:
        """See Executor."""
        with torch.no_grad():
            return [loss.detach() for loss in self._losses(self._run(self._program))]

    def forward_backward(self) -> list[Tensor]:
        """See Executor."""
        losses = self._losses(self._run(self._training_program))
        trainable = [loss for loss in losses if loss.requires_grad]
        if self.scale != 1:
            trainable = [loss * self.scale for loss in trainable]
        if trainable:
            torch.autograd.backward(trainable)
        return [loss.detach() for loss in losses]

    def _run(self, program: Program) -> tuple[Tensor, ...]:
        batch = [top for feed in self.feeds for top in feed.next()]
        if self.options.channels_last:
            batch = [top.contiguous(memory_format=torch.channels_last) if top.dim() == 4 else top for top in batch]
        results = program(self.net, *batch)
        self.outputs = [results[at].detach() for at in self._output_at]
        return results

    def _losses(self, results: Sequence[Tensor]) -> list[Tensor]:
        """Return each loss as a scalar; the elements of a blob are summed (`layer.hpp`, Forward)."""
        losses = []
        for at, weight in zip(self._loss_at, self._weights):
            loss = results[at]
            loss = loss if loss.dim() == 0 else loss.sum()
            losses.append(loss if weight == 1 else loss * weight)
        return losses

    def _compiled(self, feeds: Sequence[str], fetches: Sequence[str]) -> Program:
        program = self.net.program(feeds, fetches)
        compiled: Program = torch.compile(program) if self.options.compile else program
        return compiled

    def _mixed_precision(self, program: Program) -> Program:
        if not self.options.amp:
            return program
        parameter = next(self.net.parameters(), None)
        device = "cpu" if parameter is None else parameter.device.type

        def run(net: Net, *batch: Tensor) -> tuple[Tensor, ...]:
            with torch.autocast(device, HALVES[self.options.amp]):
                return tuple(top.float() for top in program(net, *batch))

        return run


def straight_line_executor(options: NetcOptions) -> ExecutorFactory:
    """Return a factory of executors with these options."""
    return lambda net, graph, feeds: StraightLineExecutor(net, graph, feeds, options)


def with_feed(graph: Graph, feeds: Mapping[str, LayerFeed]) -> Iterator[tuple[Node, LayerFeed]]:
    """Yield the data layers of a graph with their feeds.

    Raises NetcError E607 for a layer without a feed, E201 for a Python layer that may not run.
    """
    for node in graph.nodes:
        if node.layer.is_data and node.key not in feeds:
            if isinstance(node.layer, PythonCode):
                raise not_allowed(node.layer).at(node.span, f"in layer `{node.name}`")
            raise NetcError(
                f"layer `{node.name}` has no data: `{node.layer.type}` is fed by a program",
                code="E607",
                span=node.span,
                help="train from a `Data` layer, or feed the net in Python (netc.pycaffe)",
            )
        if node.layer.is_data:
            yield node, feeds[node.key]
