"""Functions shared by passes: which parameters a pass may rewrite, and removal of nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netc.ir.graph import Graph, Node

Array = npt.NDArray[Any]


def unshared(graph: Graph, node: Node) -> bool:
    """Whether no other layer uses a node's blobs: only then may a pass rewrite them."""
    named = Counter(name for other in graph.nodes for name in other.parameters)
    return all(named[name] <= 1 for name in node.parameters)


def rewired(graph: Graph, nodes: Iterable[Node], renamed: Mapping[str, str]) -> Graph:
    """A graph of `nodes` with renamed bottoms; values that no node assigns, and parameters that no node refers to, are
    removed.
    """
    kept = tuple(replace(node, bottoms=tuple(_last(name, renamed) for name in node.bottoms)) for node in nodes)
    given = {*graph.inputs, *(top for node in kept for top in node.tops)}
    values = {name: value for name, value in graph.values.items() if name in given}
    named = {name for node in kept for name in node.parameters}
    parameters = {name: entry for name, entry in graph.parameters.items() if name in named}
    return graph.replace(nodes=kept, values=values, parameters=parameters)


def reduced(graph: Graph, nodes: Iterable[Node]) -> Graph:
    """The graph of only `nodes`, in order, with the inputs that they read."""
    kept = tuple(nodes)
    read = {name for node in kept for name in node.bottoms}
    return rewired(graph.replace(inputs=tuple(name for name in graph.inputs if name in read)), kept, {})


def _last(name: str, renamed: Mapping[str, str]) -> str:
    while name in renamed:
        name = renamed[name]
    return name
