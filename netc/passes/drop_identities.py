"""Removes layers that are identities outside training, such as Dropout and Split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.verify import verify
from netc.passes.arrays import rewired

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node


def drop_identities(graph: Graph) -> Graph:
    """Return the graph without layers that are identities in test, for a net that is only tested.

    A layer is kept if its top is an output of the net with another name than its bottom.
    """
    verify(graph)
    renamed: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.layer.is_identity_in_test and _may_go(graph, node):
            renamed.update(_sources(node))
        else:
            nodes.append(node)
    return verify(rewired(graph, nodes, renamed))


def _sources(node: Node) -> dict[str, str]:
    """Return the bottom that each top equals: the only one, or that with its index."""
    bottoms = node.bottoms * len(node.tops) if len(node.bottoms) == 1 else node.bottoms
    return dict(zip(node.tops, bottoms, strict=True))


def _may_go(graph: Graph, node: Node) -> bool:
    in_place = all(graph.values[top].blob == graph.values[bottom].blob for top, bottom in _sources(node).items())
    only = all(len(graph.readers[bottom]) == 1 and bottom not in graph.inputs for bottom in node.bottoms)
    return not set(node.tops) & set(graph.outputs) or (in_place and only)
