"""A graph as exporters walk it: one step a layer, or one for two layers that are computed together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netc.ir.graph import Graph, Node


@dataclass(frozen=True)
class Step:
    """A node, and the one that its layer computes along with it (`Layer.absorbs`)."""

    node: Node
    absorbed: Node | None = None

    @property
    def tops(self) -> tuple[str, ...]:
        """The values that the step gives."""
        return (self.absorbed or self.node).tops

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The one or two nodes."""
        return (self.node,) if self.absorbed is None else (self.node, self.absorbed)


def steps(graph: Graph) -> Iterator[Step]:
    """The graph's nodes in order, each in one step."""
    absorbed: set[str] = set()
    for node in graph.nodes:
        if node.key in absorbed:
            continue
        reader = _absorbed(graph, node)
        if reader is not None:
            absorbed.add(reader.key)
        yield Step(node, reader)


def _absorbed(graph: Graph, node: Node) -> Node | None:
    readers = graph.readers[node.tops[0]] if len(node.tops) == 1 else []
    reader = readers[0] if len(readers) == 1 and readers[0].bottoms == node.tops else None
    return reader if reader is not None and node.layer.absorbs(reader.layer) else None
