"""Removes what computes no result of the net: outputs that depend on no weights, such as labels, and their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.verify import verify
from netc.passes.arrays import reduced

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node


def drop_labels(graph: Graph) -> Graph:
    """Return the graph with the outputs that depend on weights, the layers that these need, and their inputs.

    A net without weights is returned unchanged.
    """
    verify(graph)
    results = _learned(graph).intersection(graph.outputs)
    if not results:
        return graph
    return verify(reduced(graph, _needed(graph, results)))


def _learned(graph: Graph) -> set[str]:
    """The values that depend on weights."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.parameters or not found.isdisjoint(node.bottoms):
            found.update(node.tops)
    return found


def _needed(graph: Graph, results: set[str]) -> list[Node]:
    needed = set(results)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.tops):
            needed.update(node.bottoms)
            kept.append(node)
    return kept[::-1]
