"""Removes what only training and scoring need: losses, accuracies, layers that write files, and their inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.verify import verify
from netc.passes.arrays import reduced

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node


def drop_losses(graph: Graph) -> Graph:
    """Return the graph without losses, accuracies and layers without a top; their bottoms become outputs.

    Unused inputs are removed. A layer whose results are read only by removed layers is kept: its results become
    outputs of the net. A loss or an accuracy whose result a kept layer reads is kept, and so are those of a net that
    has no other layers.
    """
    verify(graph)
    kept = _kept(graph)
    if not kept or len(kept) == len(graph.nodes):
        return graph
    return verify(reduced(graph, kept))


def _kept(graph: Graph) -> list[Node]:
    """The nodes that remain, in order."""
    read: set[str] = set()
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        scores = node.layer.is_loss or node.layer.role == "metric"
        if (node.tops and not scores) or not read.isdisjoint(node.tops):
            kept.append(node)
            read.update(node.bottoms)
    return kept[::-1]
