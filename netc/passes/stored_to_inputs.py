"""Turns the blobs that a Caffe2 init net fills into inputs, for a program that keeps them itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netc.layers.operators.blobs import ExternalInput, StoredBlob

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node


def stored_to_inputs(graph: Graph) -> Graph:
    """Return the graph, whose shapes are not inferred yet, with data layers of the same shapes and types instead."""
    return graph.replace(nodes=tuple(map(_fed, graph.nodes)))


def _fed(node: Node) -> Node:
    if not isinstance(node.layer, StoredBlob):
        return node
    layer = ExternalInput(node.layer.shape, node.layer.dtype)
    return replace(node, layer=layer, described=layer)
