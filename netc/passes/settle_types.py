"""Chooses the types of a Caffe2 net's inputs, for what needs them before anything is fed: converting, timing."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

from netc.ir.dtypes import ITEM_BYTES, DType
from netc.layers.operators.blobs import ExternalInput

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node

_PREFERRED: tuple[DType, ...] = ("float32", "int32", "int64")


def settle_types(graph: Graph) -> Graph:
    """Return the graph, of which types are not inferred yet, with a type for each input that has none.

    It is float32 unless an operator that reads the input does not accept that, else int32 or int64, else another type
    that all accept.
    """
    return graph.replace(nodes=tuple(_settled(graph, node) for node in graph.nodes))


def _settled(graph: Graph, node: Node) -> Node:
    if not isinstance(node.layer, ExternalInput) or node.layer.dtype != "unknown":
        return node
    accepted = [found for reader in graph.readers[node.tops[0]] for found in _accepted(reader, node.tops[0])]
    common = reduce(frozenset.intersection, accepted, frozenset(ITEM_BYTES) - {"unknown"})
    dtype: DType = next((one for one in (*_PREFERRED, *ITEM_BYTES) if one in common), "float32")
    return replace(node, layer=replace(node.layer, dtype=dtype))


def _accepted(reader: Node, value: str) -> list[frozenset[DType]]:
    """The types that a node accepts for each of its bottoms that is this value, where they are limited."""
    accepts = reader.layer.accepts
    if not accepts:
        return []
    found = [accepts[min(i, len(accepts) - 1)] for i, bottom in enumerate(reader.bottoms) if bottom == value]
    return [types for types in found if types]
