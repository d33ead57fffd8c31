"""Shapes of all blobs from those of the inputs, without a pass (`net.cpp`, Reshape)."""

from __future__ import annotations

from netc.diagnostics import NetcError
from netc.ir.dims import known, text
from netc.ir.graph import Node
from netc.ir.layer import Shapes
from netc.runtime.memory import Memory, memory_key
from netc.runtime.node_executor import NodeExecutor


def reshape(stepper: NodeExecutor) -> None:
    """Give the blobs behind the data layers the shapes that follow; what data alone will tell stays as it is.

    Raises NetcError with the layer where shapes do not fit it, or would need other weights than it has.
    """
    for node in stepper.graph.nodes:
        if node.layer.is_data:
            continue
        bottoms = tuple(_memory(stepper, name).shape for name in node.bottoms)
        try:
            tops = node.layer.infer(bottoms, len(node.tops))
            _same_weights(stepper, node, bottoms)
        except NetcError as error:
            shown = ", ".join(f"{name}{text(shape)}" for name, shape in zip(node.bottoms, bottoms))
            raise error.at(node.span, f"in layer `{node.name}`, bottoms: {shown}") from None
        for name, shape in zip(node.tops, tops):
            if shape is not None and all(map(known, shape)):
                _memory(stepper, name).resize(shape)


def _memory(stepper: NodeExecutor, value: str) -> Memory:
    return stepper.memory[memory_key(stepper.graph, value)]


def _same_weights(stepper: NodeExecutor, node: Node, bottoms: Shapes) -> None:
    for blob, weight in zip(stepper.blobs(node), node.layer.weights(bottoms)):
        if tuple(weight.shape) != tuple(blob.shape):
            raise NetcError(
                f"blob {blob.index} would need shape {text(weight.shape)}, it has {text(blob.shape)}", code="E102"
            )
