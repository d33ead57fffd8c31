"""Folds BatchNorm, and the Scale after it, into the weights of the preceding layer, for inference.

In test a BatchNorm of any fork is a factor and an addend per channel (`Layer.channel_affine`), and so is a Scale. A
convolution or inner product whose top has no other reader can include both: its rows are multiplied by the factors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from netc.ir.parameter_table import ParameterTable
from netc.ir.verify import verify
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.inner_product import InnerProduct
from netc.layers.scale import Scale
from netc.passes.arrays import Array, rewired, unshared

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node

Producer = Convolution | Deconvolution | InnerProduct


class Affine(NamedTuple):
    """A factor and an addend for each channel, in float64."""

    factor: Array
    addend: Array

    def then(self, other: Affine) -> Affine:
        """The composition: this map, then the other."""
        return Affine(self.factor * other.factor, self.addend * other.factor + other.addend)


def fold_batch_norm(graph: Graph) -> Graph:
    """Return the graph with every BatchNorm and channel-wise Scale folded into the preceding layer, if possible.

    Its parameters must have arrays. A BatchNorm that cannot be folded becomes one Scale with a bias, merged with the
    Scale after it. The results are equal up to rounding. BatchNorms that normalize by the batch in test as well, and
    layers that share their blobs with others, are kept.
    """
    folder = _Folder(verify(graph))
    for node in graph.nodes:
        folder.visit(node)
    return verify(rewired(graph.replace(parameters=folder.parameters), folder.nodes.values(), {}))


class _Folder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[str, Node] = {}
        self.table = ParameterTable(graph.nodes)
        """Parameter entries of the changed layers."""
        self.parameters = dict(graph.parameters)
        self.before: dict[str, str] = {}
        """For each value, the key of the layer that now produces it."""

    def visit(self, node: Node) -> None:
        """Keep a node, or fold it into the producer of its bottom."""
        affine = self._affine(node)
        producer = self._producer(node) if affine else None
        if affine and producer is not None and self._takes(producer, affine):
            folded, blobs = _folded(producer, self._arrays(producer), affine)
            self._put(replace(folded, tops=node.tops), blobs)
        elif affine and not isinstance(node.layer, Scale):
            scale = replace(node, layer=Scale(bias_term=True), param_specs=())
            dtype = self._arrays(node)[0].dtype
            self._put(scale, tuple(part.astype(dtype) for part in affine))
        else:
            self.nodes[node.key] = node
            self.before.update(dict.fromkeys(node.tops, node.key))

    def _put(self, node: Node, blobs: tuple[Array, ...]) -> None:
        names = self.table.add(node, self.graph.weights(node))
        for name, blob in zip(names, blobs):
            self.parameters[name] = replace(self.table.entries[name], array=blob)
        self.nodes[node.key] = replace(node, parameters=names)
        self.before[node.tops[0]] = node.key

    def _arrays(self, node: Node) -> tuple[Array, ...]:
        held = (self.parameters[name].array for name in node.parameters)
        return tuple(array for array in held if array is not None)

    def _affine(self, node: Node) -> Affine | None:
        """The affine map of each channel, None for any other layer."""
        layer, blobs = node.layer, self._arrays(node)
        axes = len(self.graph.shape(node.bottoms[0]) or ()) if node.bottoms else 0
        if not blobs or axes < 2 or len(node.tops) != 1 or len(node.bottoms) != 1 or not unshared(self.graph, node):
            return None
        affine = layer.channel_affine([blob.astype(np.float64) for blob in blobs], axes)
        return None if affine is None else Affine(*affine)

    def _producer(self, node: Node) -> Node | None:
        """The producer of the node's bottom, if nothing else reads it."""
        producer = self.nodes.get(self.before.get(node.bottoms[0], ""))
        if producer is None or producer.tops != node.bottoms or len(self.graph.readers[node.bottoms[0]]) != 1:
            return None
        return producer

    def _takes(self, producer: Node, affine: Affine) -> bool:
        layer = producer.layer
        if not unshared(self.graph, producer) or not self._arrays(producer) or len(producer.bottoms) != 1:
            return False
        if isinstance(layer, Scale):  # a BatchNorm that could not be folded, and the Scale after it
            return layer.bias_term and layer.num_axes == 1 and layer.axis == 1
        return isinstance(layer, (Convolution, Deconvolution, InnerProduct)) and layer.axis == 1


def _folded(producer: Node, blobs: tuple[Array, ...], affine: Affine) -> tuple[Node, tuple[Array, ...]]:
    """The layer with scaled blobs and a bias."""
    layer = cast("Producer | Scale", producer.layer)
    dtype = blobs[0].dtype
    old = blobs[1].astype(np.float64) if len(blobs) > 1 else np.zeros(1)
    bias = (old * affine.factor + affine.addend).astype(dtype)
    weight = _rows(layer, blobs[0].astype(np.float64), affine.factor).astype(dtype)
    bias = np.broadcast_to(bias, affine.factor.shape)
    specs = producer.param_specs if layer.bias_term else producer.param_specs[:1]
    return replace(producer, layer=replace(layer, bias_term=True), param_specs=specs), (
        weight,
        np.ascontiguousarray(bias),
    )


def _rows(layer: Producer | Scale, weight: Array, factor: Array) -> Array:
    """The weight with the rows of each channel multiplied by its factor."""
    if isinstance(
        layer, Deconvolution
    ):  # (c, outputs / group, ...): the outputs of a group are in the rows of its inputs
        parts = weight.reshape(layer.group, -1, *weight.shape[1:])
        spread = factor.reshape(layer.group, 1, -1, *[1] * (weight.ndim - 2))
        return (parts * spread).reshape(weight.shape)
    if isinstance(layer, InnerProduct) and layer.transpose:
        return weight * factor
    rows: Array = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    return rows
