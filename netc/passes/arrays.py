"""The blobs of a graph as plain arrays, which passes rewrite along with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from netc.ir.graph import Graph, Node

Array = npt.NDArray[Any]
Arrays = Mapping[str, tuple[Array, ...]]
"""For each node's key its blobs, in Caffe's order and shapes; nodes without blobs may be missing."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """A graph with the values of its blobs."""

    graph: Graph
    arrays: Arrays

    def blobs(self, node: Node) -> tuple[Array, ...]:
        """A node's blobs; none for a layer without any."""
        return self.arrays.get(node.key, ())


def unshared(graph: Graph, node: Node) -> bool:
    """Whether no other layer uses one of a node's blobs: only then may a pass rewrite them."""
    named = [param.name for other in graph.nodes for param in other.params if param.name]
    return all(not param.name or named.count(param.name) == 1 for param in node.params)


def rewired(graph: Graph, nodes: Iterable[Node], renamed: Mapping[str, str]) -> Graph:
    """A graph of `nodes` whose bottoms are read under other values' names; values that nobody gives are dropped."""
    kept = tuple(replace(node, bottoms=tuple(_last(name, renamed) for name in node.bottoms)) for node in nodes)
    given = {*graph.inputs, *(top for node in kept for top in node.tops)}
    values = {name: value for name, value in graph.values.items() if name in given}
    return graph.replace(nodes=kept, values=values)


def _last(name: str, renamed: Mapping[str, str]) -> str:
    while name in renamed:
        name = renamed[name]
    return name
