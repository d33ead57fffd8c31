"""Which layers, bottoms and weights get a gradient (`net.cpp`, Init, AppendBottom).

A layer runs backward if one of its weights is learned or a bottom carries a gradient, and if a loss depends on it.
Both executors, the memory peaks and the checks use this analysis: gradients that are not needed are not computed, and
those that Caffe leaves at zero stay zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netc.ir.dtypes import is_floating
from netc.ir.graph import Graph, Node


@dataclass(frozen=True)
class GradientNeeds:
    """The gradients that a backward pass computes for one node."""

    layer: bool
    """Whether the node runs backward."""
    bottoms: tuple[bool, ...]
    """For each bottom, whether its gradient is computed."""
    weights: tuple[bool, ...]
    """For each blob, whether its gradient is computed."""


def gradient_needs(graph: Graph, starts: Iterable[str] | None = None) -> dict[str, GradientNeeds]:
    """The gradients that a backward pass computes, by node key.

    `starts` are the values that the pass starts from; by default those that contribute to the loss, as in Caffe.
    """
    analysis = _Analysis(graph, {name for name, _ in graph.losses} if starts is None else set(starts))
    for node in graph.nodes:
        analysis.forward(node)
    for node in reversed(graph.nodes):
        analysis.backward(node)
    if graph.force_backward:
        for node in graph.nodes:
            analysis.force(node)
    return {node.key: analysis.needs(node) for node in graph.nodes}


def values_with_gradient(graph: Graph) -> frozenset[str]:
    """The values whose gradient a backward pass computes.

    A net without a loss is treated as if it had a loss at each output, which is its cost after a loss is added. A layer
    that passes no gradient on (Accuracy, ArgMax) has none at its tops.
    """
    starts = {name for name, _ in graph.losses} or set(graph.outputs)
    needs = gradient_needs(graph, starts)
    reached, found = set(starts), set[str]()
    for node in reversed(graph.nodes):
        need = needs[node.key]
        if any(need.bottoms) or any(need.weights):
            tops = reached.intersection(node.tops)
            found |= tops
            reached.update(name for name, wanted in zip(node.bottoms, need.bottoms) if wanted and tops)
    return frozenset(found)


def bottoms_without_gradient(node: Node) -> frozenset[int]:
    """The positions of the bottoms that never get a gradient in any net (labels)."""
    count = len(node.bottoms)
    return frozenset(index % count for index in node.layer.no_gradient if -count <= index < count)


def is_cut(graph: Graph, node: Node, position: int) -> bool:
    """Whether the file disables the gradient of a bottom (`propagate_down: false`, overridden by `force_backward`)."""
    return bool(node.propagate_down) and not node.propagate_down[position] and not graph.force_backward


class _Analysis:
    def __init__(self, graph: Graph, starts: set[str]) -> None:
        self.graph, self.starts = graph, starts
        self.values: set[str] = set()
        """Values that carry a gradient."""
        self.layers: dict[str, bool] = {}
        self.bottoms: dict[str, list[bool]] = {}
        self.weights: dict[str, tuple[bool, ...]] = {}
        self.under_loss: set[str] = set()
        self.needed: set[str] = set()
        """Values that get a gradient from a reader or from the loss itself."""

    def forward(self, node: Node) -> None:
        """From the first layer: values that carry a gradient if a loss depends on them."""
        learned = tuple(parameter.lr_mult != 0 for parameter in self.graph.parameters_of(node))
        carried = [name in self.values for name in node.bottoms]
        self.bottoms[node.key] = list(node.propagate_down) or carried
        self.weights[node.key] = learned
        self.layers[node.key] = any(learned) or any(carried)
        if self.layers[node.key]:
            self.values.update(filter(self._is_real, node.tops))

    def backward(self, node: Node) -> None:
        """From the last layer: exclude values that no loss depends on, or that `propagate_down` disables."""
        counts = any(top in self.starts or top in self.under_loss for top in node.tops)
        cut = not any(top in self.starts or top in self.needed or not self.graph.readers[top] for top in node.tops)
        if not counts or cut:
            self.layers[node.key] = False
            self.bottoms[node.key] = [False] * len(node.bottoms)
        if counts:
            self.under_loss.update(node.bottoms)
        self.needed.update(name for name, need in zip(node.bottoms, self.bottoms[node.key]) if need)

    def force(self, node: Node) -> None:
        """`force_backward`: everything except bottoms that never get a gradient."""
        self.layers[node.key] = True
        self.bottoms[node.key] = [True] * len(node.bottoms)
        self.weights[node.key] = (True,) * len(self.weights[node.key])

    def _is_real(self, name: str) -> bool:
        """Whether the value is floating point: only those have a gradient."""
        return is_floating(self.graph.values[name].dtype)

    def needs(self, node: Node) -> GradientNeeds:
        """The result for a node."""
        run = self.layers[node.key] and not node.layer.is_data
        never = bottoms_without_gradient(node)
        bottoms = tuple(
            run and need and index not in never and self._is_real(node.bottoms[index])
            for index, need in enumerate(self.bottoms[node.key])
        )
        return GradientNeeds(run, bottoms, tuple(run and need for need in self.weights[node.key]))
