"""The cost of a graph: parameters, multiply-adds and memory per node."""

from __future__ import annotations

from dataclasses import dataclass

from netc.ir.dims import Shape, known, product
from netc.ir.graph import Graph, Node
from netc.ir.layer import Cost
from netc.ir.liveness import Liveness
from netc.ir.receptive import receptive_fields
from netc.ir.receptive_field import ReceptiveFields


@dataclass(frozen=True)
class CostRow:
    """One node of a summary; None for values that depend on unknown extents."""

    node: Node
    bottoms: tuple[Shape | None, ...]
    tops: tuple[Shape | None, ...]
    parameters: int
    """Number of elements of the blobs that it does not share with an earlier node."""
    cost: Cost | None
    activation_bytes: int | None
    """Bytes of its tops; 0 for an in-place layer, whose top uses its bottom's memory."""
    gradient_bytes: int | None
    """Bytes of the gradients of these tops; 0 if none gets one."""
    receptive_field: ReceptiveFields | None
    """The receptive field of its first top."""

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.node.name

    @property
    def type(self) -> str:
        """The layer's type, by Caffe's name."""
        return self.node.layer.type

    @property
    def macs(self) -> int | None:
        """Multiply-adds of one forward pass, which papers report as FLOPs."""
        return self.cost.macs if self.cost else None

    @property
    def operations(self) -> int | None:
        """Other arithmetic of one forward pass."""
        return self.cost.operations if self.cost else None


def rows(graph: Graph, live: Liveness | None = None) -> list[CostRow]:
    """One row per node, in order; shapes must be inferred."""
    owners, fields, live = graph.owners(), receptive_fields(graph), live or Liveness(graph)
    return [_row(node, owners, fields, live) for node in graph.nodes]


def _row(
    node: Node,
    owners: dict[tuple[str, int], tuple[str, int]],
    fields: dict[str, ReceptiveFields | None],
    live: Liveness,
) -> CostRow:
    graph = live.graph
    bottoms = tuple(graph.shape(name) for name in node.bottoms)
    tops = tuple(graph.shape(name) for name in node.tops)
    weights = graph.weights(node)
    own = [w for i, w in enumerate(weights) if owners[node.key, i] == (node.key, i)]
    whole = all(shape is not None and all(map(known, shape)) for shape in (*bottoms, *tops))
    return CostRow(
        node=node,
        bottoms=bottoms,
        tops=tops,
        parameters=sum(product(w.shape) for w in own),
        cost=node.layer.cost(bottoms, tops) if whole else None,  # type: ignore[arg-type]
        activation_bytes=live.bytes(node.tops),
        gradient_bytes=live.bytes(name for name in node.tops if name in live.gradients),
        receptive_field=fields[node.tops[0]] if node.tops else (),
    )
