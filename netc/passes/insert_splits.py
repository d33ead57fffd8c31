"""Inserts a Split layer between a blob and its readers (`insert_splits.cpp`).

A blob then has one reader, and each use of it a gradient of its own, which the Split layer adds up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from netc.ir.graph import Graph, ModuleKeys, Node, Value
from netc.ir.names import UniqueNames
from netc.layers.concat import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUT = "input"
"""The name of the layer of a net's inputs, as Caffe's upgrade of old files has it (`upgrade_proto.cpp`)."""


def insert_splits(graph: Graph) -> Graph:
    """Return the graph with a Split layer after each value that is used more than once, under Caffe's names.

    A contribution to the loss is a use; the first top of the Split then has the loss weight.

    Blob `c` of layer `conv` that two layers read has a Split `c_conv_0_split` with the tops `c_conv_0_split_0` and
    `c_conv_0_split_1`.
    """
    uses = Counter(name for node in graph.nodes for name in node.bottoms)
    uses.update(name for name, _ in graph.losses)
    counts = {name: count for name, count in uses.items() if count > 1}
    return _Splits(graph, counts).graph() if counts else graph


class _Splits:
    def __init__(self, graph: Graph, counts: dict[str, int]) -> None:
        self.old, self.counts = graph, counts
        self.keys = ModuleKeys(node.key for node in graph.nodes)
        self.names = UniqueNames(".", graph.values)
        self.weights = dict(graph.losses)
        self.tops: dict[str, Iterator[str]] = {}
        """The tops of each value's Split that no layer reads yet."""
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}

    def graph(self) -> Graph:
        """The new graph. Its values are in Caffe's order: the tops of a layer, then those of its Splits."""
        self._values(self.old.inputs)
        for index, name in enumerate(self.old.inputs):
            self._split(name, INPUT, index, None)
        for node in self.old.nodes:
            bottoms = tuple(next(self.tops[name]) if name in self.counts else name for name in node.bottoms)
            pairs = zip(node.tops, node.loss_weights)
            weights = tuple(0.0 if name in self.counts else weight for name, weight in pairs)
            self.nodes.append(replace(node, bottoms=bottoms, loss_weights=weights))
            self._values(node.tops)
            for index, name in enumerate(node.tops):
                self._split(name, node.name, index, node)
        return self.old.replace(nodes=tuple(self.nodes), values=self.values)

    def _values(self, names: tuple[str, ...]) -> None:
        self.values.update((name, self.old.values[name]) for name in names)

    def _split(self, name: str, layer: str, index: int, producer: Node | None) -> None:
        """Add the Split of a value, if it is used more than once."""
        if name not in self.counts:
            return
        value, count, weight = self.old.values[name], self.counts[name], self.weights.get(name, 0.0)
        split = f"{value.blob}_{layer}_{index}_split"
        blobs = [f"{split}_{use}" for use in range(count)]
        tops = tuple(map(self.names.add, blobs))
        self.values.update((top, replace(value, name=top, blob=top)) for top in tops)
        readers = iter(tops)
        if weight:
            next(readers)
        self.tops[name] = readers
        node = Node(split, self.keys.add(split), Split(), (name,), tops, loss_weights=(weight, *[0.0] * (count - 1)))
        self.nodes.append(node if producer is None else replace(node, origin=producer.origin))
