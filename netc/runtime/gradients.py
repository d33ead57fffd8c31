"""Which layers, bottoms and weights get a gradient (`net.cpp`, Init, AppendBottom).

A layer takes part where a weight of it may learn or a bottom carries a gradient, and where a loss depends on it.
Both executors follow this: what is not needed is not computed, and what Caffe leaves at zero stays there.
"""

from __future__ import annotations

from dataclasses import dataclass

from netc.ir.graph import Graph, Node


@dataclass(frozen=True)
class Needs:
    """What a backward pass computes for one node."""

    layer: bool
    """Whether it is run at all."""
    bottoms: tuple[bool, ...]
    """For each bottom, whether its gradient is wanted."""
    weights: tuple[bool, ...]
    """For each blob, whether its gradient is wanted."""


def gradient_needs(graph: Graph) -> dict[str, Needs]:
    """What a backward pass computes, by node key."""
    analysis = _Analysis(graph)
    for node in graph.nodes:
        analysis.forward(node)
    for node in reversed(graph.nodes):
        analysis.backward(node)
    if graph.force_backward:
        for node in graph.nodes:
            analysis.force(node)
    return {node.key: analysis.needs(node) for node in graph.nodes}


class _Analysis:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: set[str] = set()
        """Values that carry a gradient."""
        self.layers: dict[str, bool] = {}
        self.bottoms: dict[str, list[bool]] = {}
        self.weights: dict[str, tuple[bool, ...]] = {}
        self.under_loss: set[str] = set()
        self.wanted: set[str] = set()
        """Values that some reader, or the loss itself, gives a gradient."""

    def forward(self, node: Node) -> None:
        """From the file's start: what carries a gradient if all of it counts in a loss."""
        learned = tuple(parameter.lr_mult != 0 for parameter in self.graph.parameters_of(node))
        carried = [name in self.values for name in node.bottoms]
        self.bottoms[node.key] = list(node.propagate_down) or carried
        self.weights[node.key] = learned
        self.layers[node.key] = any(learned) or any(carried)
        if self.layers[node.key]:
            self.values.update(node.tops)

    def backward(self, node: Node) -> None:
        """From the file's end: what counts in no loss, or is cut off by `propagate_down`, is left out."""
        losses = dict(zip(node.tops, node.loss_weights))
        counts = any(losses.get(top) or top in self.under_loss for top in node.tops)
        cut = not any(losses.get(top) or top in self.wanted or not self.graph.readers[top] for top in node.tops)
        if not counts or cut:
            self.layers[node.key] = False
            self.bottoms[node.key] = [False] * len(node.bottoms)
        if counts:
            self.under_loss.update(node.bottoms)
        self.wanted.update(name for name, need in zip(node.bottoms, self.bottoms[node.key]) if need)

    def force(self, node: Node) -> None:
        """`force_backward`: everything but what never gets a gradient."""
        self.layers[node.key] = True
        self.bottoms[node.key] = [True] * len(node.bottoms)
        self.weights[node.key] = (True,) * len(self.weights[node.key])

    def needs(self, node: Node) -> Needs:
        """The result for a node."""
        run = self.layers[node.key] and not node.layer.is_data
        count = len(node.bottoms)
        never = {index % count for index in node.layer.no_gradient if -count <= index < count}
        bottoms = tuple(run and need and index not in never for index, need in enumerate(self.bottoms[node.key]))
        return Needs(run, bottoms, tuple(run and need for need in self.weights[node.key]))
