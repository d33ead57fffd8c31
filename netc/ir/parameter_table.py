"""Builds the parameter table of a graph, node by node, in the order in which nodes first refer to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netc.ir.graph import Graph, Node
from netc.ir.layer import Weight
from netc.ir.parameters import Parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ParameterTable:
    """A table under construction. Blobs with the same name in their specs share an entry, defined by the first node."""

    def __init__(self, nodes: Iterable[Node], before: Mapping[str, Parameter] | None = None) -> None:
        self.entries: dict[str, Parameter] = {}
        self.first: dict[str, Node] = {}
        """The first node that refers to each entry."""
        self._named = {spec.name for node in nodes for spec in node.param_specs if spec.name}
        self._before = before or {}

    def add(self, node: Node, weights: Iterable[Weight]) -> tuple[str, ...]:
        """Add a node's blobs; returns their names in the table, in order."""
        return tuple(self._enter(node, index, weight) for index, weight in enumerate(weights))

    def _enter(self, node: Node, index: int, weight: Weight) -> str:
        spec = node.param_spec(index)
        name = spec.name or self._own_name(node, weight)
        if name not in self.entries:
            self.first[name] = node
            self.entries[name] = Parameter(
                name,
                weight.shape,
                weight.dtype,
                weight.filler,
                self._array(name, weight),
                spec.lr_mult,
                spec.decay_mult,
                weight.learnable,
            )
        return name

    def _own_name(self, node: Node, weight: Weight) -> str:
        """`conv1.weight`, as in the module's state_dict, with a suffix if a shared blob has that name."""
        name = f"{node.key}.{weight.name}"
        while name in self._named:
            name += "%"
        return name

    def _array(self, name: str, weight: Weight) -> NDArray[Any] | None:
        """The array of the previous table for an entry of this name and shape, otherwise the layer's own."""
        before = self._before.get(name)
        kept = before is not None and before.shape == weight.shape
        return before.array if before is not None and kept else weight.array


def tabulated(graph: Graph) -> Graph:
    """Return the graph with its parameter table rebuilt from its layers and specs, after a pass changed nodes.

    Entries of unchanged shape keep their arrays. Shapes must be inferred.
    """
    table = ParameterTable(graph.nodes, graph.parameters)
    nodes = tuple(replace(node, parameters=table.add(node, graph.weights(node))) for node in graph.nodes)
    return graph.replace(nodes=nodes, parameters=table.entries)
