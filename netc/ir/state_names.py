"""The names of a graph's parameters in a state_dict, and the layers that these names denote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.ir.graph import Graph, ModuleKeys, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from netc.ir.layer import Weight

    Tensors = Mapping[str, NDArray[Any]]


def layers_of_state(
    graph: Graph, tensors: Tensors, renamed: Mapping[str, str]
) -> list[tuple[str, list[NDArray[Any] | None]]]:
    """The tensors of a state_dict as layers with their blobs in Caffe's order and shapes.

    `renamed` maps layer names of the graph to those in the file. A layer without a tensor has no blobs; tensors that no
    layer has follow under their own names. Raises NetcError E306 for an incomplete layer.
    """
    layers: list[tuple[str, list[NDArray[Any] | None]]] = []
    used: set[str] = set()
    for node in graph.nodes:
        weights = {name: weight for name, weight in state_names(graph, node, renamed).items() if name in tensors}
        missing = [name for name in state_names(graph, node, renamed) if name not in tensors]
        if weights and missing:
            message = f"the weights file has `{next(iter(weights))}`, but not `{missing[0]}` of layer `{node.name}`"
            raise NetcError(message, code="E306")
        layers.append((node.name, [_in_caffes_shape(tensors[name], weight) for name, weight in weights.items()]))
        used.update(weights)
    names = {node.name for node in graph.nodes}
    layers += [(name, [tensor]) for name, tensor in tensors.items() if name not in used and name not in names]
    return layers


def state_names(graph: Graph, node: Node, renamed: Mapping[str, str]) -> dict[str, Weight]:
    """The blobs of a node by their names in a state_dict, in Caffe's order."""
    key = ModuleKeys().add(renamed[node.name]) if node.name in renamed else node.key
    return {f"{key}.{weight.name}": weight for weight in graph.weights(node)}


def _in_caffes_shape(tensor: NDArray[Any], weight: Weight) -> NDArray[Any]:
    """The tensor in Caffe's shape; one of another shape as it is, so that it is refused by its shape."""
    return tensor.reshape(weight.shape) if tuple(tensor.shape) == weight.module_shape else tensor
