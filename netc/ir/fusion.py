"""Fusion of layers: one step per layer, or one step for two (`Layer.absorbs`: BatchNorm and the Scale after it).

Straight-line code and the exporters walk a graph by these steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netc.ir.gradients import is_cut
from netc.ir.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class Step:
    """A node, and the node that is fused with it, if any."""

    node: Node
    absorbed: Node | None = None

    @property
    def tops(self) -> tuple[str, ...]:
        """The values computed by the step."""
        return (self.absorbed or self.node).tops

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The one or two nodes."""
        return (self.node,) if self.absorbed is None else (self.node, self.absorbed)


def steps(graph: Graph, nodes: Sequence[Node] | None = None, kept: Iterable[str] = ()) -> Iterator[Step]:
    """The nodes (default: all of the graph) in order, as steps; values in `kept` are not fused away."""
    chosen = graph.nodes if nodes is None else nodes
    keys, needed = {node.key for node in chosen}, frozenset(kept)
    absorbed: set[str] = set()
    for node in chosen:
        if node.key in absorbed:
            continue
        reader = _absorbed(graph, node)
        if reader is None or reader.key not in keys or not needed.isdisjoint(node.tops):
            yield Step(node)
            continue
        absorbed.add(reader.key)
        yield Step(node, reader)


def _absorbed(graph: Graph, node: Node) -> Node | None:
    """The only reader of the only top of `node`, if it reads nothing else and both can be computed together."""
    readers = graph.readers[node.tops[0]] if len(node.tops) == 1 else []
    reader = readers[0] if len(readers) == 1 and readers[0].bottoms == node.tops else None
    if reader is None or is_cut(graph, reader, 0):
        return None
    return reader if node.layer.absorbs(reader.layer) else None
