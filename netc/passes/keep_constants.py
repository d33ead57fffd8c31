"""Makes constant data part of the net: Caffe fills such tops of a DummyData layer once, when it creates the net."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.ir.graph import ModuleKeys, Node
from netc.layers.dummy_data import ConstantData, DummyData

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from netc.ir.graph import Graph


def keep_constants(graph: Graph, fed: Collection[str] = ()) -> Graph:
    """Return the graph in which constant tops of DummyData layers are computed, but for the blobs in `fed`.

    Random tops, and those in `fed`, stay the tops of a data layer.
    """
    keys = ModuleKeys(node.key for node in graph.nodes)
    nodes: list[Node] = []
    for node in graph.nodes:
        layer = node.layer
        parts = _parts(graph, node, layer, fed, keys) if isinstance(layer, DummyData) and layer.is_data else (node,)
        nodes += parts
    return graph.replace(nodes=tuple(nodes))


def _parts(graph: Graph, node: Node, layer: DummyData, fed: Collection[str], keys: ModuleKeys) -> Iterator[Node]:
    """The layer with the constant tops, and the layer with the others."""
    again = layer.refill(len(node.tops))
    kept = [i for i, top in enumerate(node.tops) if not again[i] and graph.values[top].blob not in fed]
    if not kept:
        yield node
        return
    part = layer.part(len(node.tops), kept)
    yield replace(_only(node, kept), layer=ConstantData(part.shape, part.data_filler))
    if others := [i for i in range(len(node.tops)) if i not in kept]:
        yield replace(_only(node, others), key=keys.add(node.name), layer=layer.part(len(node.tops), others))


def _only(node: Node, chosen: Sequence[int]) -> Node:
    """The node with some of its tops."""
    weights = tuple(node.loss_weights[i] for i in chosen) if node.loss_weights else ()
    return replace(node, tops=tuple(node.tops[i] for i in chosen), loss_weights=weights)
