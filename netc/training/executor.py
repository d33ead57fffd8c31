"""Forward and backward passes, as the solver asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.graph import Graph, Node
from netc.runtime.lower import Net
from netc.training.feeds import Feed


class Executor(Protocol):
    """Runs a net over its next batch. pycaffe has one of its own, which goes node by node."""

    losses: tuple[str, ...]
    """Names of the blobs that add to the loss, in the order of what the passes return."""
    outputs: Sequence[Tensor]
    """The net's output blobs (`Graph.outputs`) after a pass, apart from autograd."""

    def clear_gradients(self) -> None:
        """Begin an iteration: all gradients are zero."""

    def forward(self) -> Sequence[Tensor]:
        """Run the net; what each blob of `losses` adds to the loss, weighted, as scalars apart from autograd."""

    def forward_backward(self) -> Sequence[Tensor]:
        """As `forward`, and add gradients to `grad` of the parameters."""


ExecutorFactory = Callable[[Net, Graph, Mapping[str, Feed]], Executor]
"""Makes the executor of a net; the graph is the net's, with its data layers, and the feeds are theirs by node key."""


class StraightExecutor:
    """Runs the straight-line code. Raises NetcError E607 for a data layer without a feed."""

    def __init__(self, net: Net, graph: Graph, feeds: Mapping[str, Feed]) -> None:
        self.net = net
        self.feeds = [_feed(node, feeds) for node in graph.nodes if node.layer.is_data]
        self.outputs: Sequence[Tensor] = ()
        self.losses = tuple(graph.values[name].blob for name, _ in graph.losses)
        self._weights = [weight for _, weight in graph.losses]
        self._loss_names = [name for name, _ in graph.losses]
        fetches = list(dict.fromkeys([*self._loss_names, *graph.outputs]))
        self._loss_at = [fetches.index(name) for name in self._loss_names]
        self._output_at = [fetches.index(name) for name in graph.outputs]
        self._program = net.program(net.graph.inputs, fetches)
        self._parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]

    def clear_gradients(self) -> None:
        """Drop the gradients: the first backward pass makes new ones, which is cheaper than adding to zeros."""
        for parameter in self._parameters:
            parameter.grad = None

    def forward(self) -> list[Tensor]:
        """See Executor."""
        with torch.no_grad():
            return [loss.detach() for loss in self._losses(self._run())]

    def forward_backward(self) -> list[Tensor]:
        """See Executor."""
        results = self._run()
        losses = self._losses(results)
        learning = [loss for loss in losses if loss.requires_grad]
        if learning:
            torch.autograd.backward(learning)
        return [loss.detach() for loss in losses]

    def _run(self) -> tuple[Tensor, ...]:
        batch = [top for feed in self.feeds for top in feed.next()]
        results = self._program(self.net, *batch)
        self.outputs = [results[at].detach() for at in self._output_at]
        return results

    def _losses(self, results: Sequence[Tensor]) -> list[Tensor]:
        """Each loss as a scalar; a blob of several elements counts with their sum (`layer.hpp`, Forward)."""
        losses = []
        for at, weight in zip(self._loss_at, self._weights):
            loss = results[at]
            loss = loss if loss.dim() == 0 else loss.sum()
            losses.append(loss if weight == 1 else loss * weight)
        return losses


def _feed(node: Node, feeds: Mapping[str, Feed]) -> Feed:
    if node.key not in feeds:
        raise NetcError(
            f"layer `{node.name}` has no data: `{node.layer.type}` is fed by a program",
            code="E607",
            span=node.span,
            help="train from a `Data` layer, or feed the net in Python (netc.pycaffe)",
        )
    return feeds[node.key]
