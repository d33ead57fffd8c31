"""What a graph costs: parameters, multiply-adds and memory, node by node."""

from __future__ import annotations

from dataclasses import dataclass

from netc.ir.dims import Shape, known, product
from netc.ir.graph import Graph, Node
from netc.ir.layer import Cost

BYTES = 4
"""Of a float32 element."""


@dataclass(frozen=True)
class Row:
    """One node of a summary; None stands for what unknown extents leave open."""

    node: Node
    bottoms: tuple[Shape | None, ...]
    tops: tuple[Shape | None, ...]
    parameters: int
    """Elements of all its blobs that it does not share with an earlier node."""
    cost: Cost | None
    activation_bytes: int | None
    """Bytes of its tops; 0 for an in-place layer, whose top is its bottom's memory."""


def rows(graph: Graph) -> list[Row]:
    """One row a node, in order; shapes must be inferred."""
    owners = graph.owners()
    return [_row(graph, node, owners) for node in graph.nodes]


def _row(graph: Graph, node: Node, owners: dict[tuple[str, int], tuple[str, int]]) -> Row:
    bottoms = tuple(graph.shape(name) for name in node.bottoms)
    tops = tuple(graph.shape(name) for name in node.tops)
    weights = graph.weights(node)
    own = [w for i, w in enumerate(weights) if owners[node.key, i] == (node.key, i)]
    whole = all(shape is not None and all(map(known, shape)) for shape in (*bottoms, *tops))
    return Row(
        node=node,
        bottoms=bottoms,
        tops=tops,
        parameters=sum(product(w.shape) for w in own),
        cost=node.layer.cost(bottoms, tops) if whole else None,  # type: ignore[arg-type]
        activation_bytes=_activation(graph, node) if whole else None,
    )


def _activation(graph: Graph, node: Node) -> int:
    mine = {graph.values[name].blob for name in node.bottoms}
    fresh = [name for name in node.tops if graph.values[name].blob not in mine]
    return sum(product(graph.values[name].shape or ()) for name in fresh) * BYTES
