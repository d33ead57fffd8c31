"""Computes the shapes of all blobs from those of the inputs, without a pass (`net.cpp`, Reshape)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.ir.dims import known, text
from netc.runtime.memory import Memory, memory_key

if TYPE_CHECKING:
    from netc.ir.graph import Node
    from netc.ir.layer import Shapes
    from netc.runtime.node_executor import NodeExecutor


def reshape(executor: NodeExecutor, start: int = 0, end: int | None = None) -> None:
    """Set the shapes of the tops of layers `start` to `end`, by index and both included, from those of their bottoms.

    The default is the whole net, from the data layers' tops on. Shapes that depend on data are not changed. Raises
    NetcError, with the layer, for bottoms that the layer does not accept or that require weights of another shape.
    """
    for node in executor.graph.nodes[start : None if end is None else end + 1]:
        if node.layer.is_data:
            continue
        bottoms = tuple(_memory(executor, name).shape for name in node.bottoms)
        try:
            tops = node.layer.infer(bottoms, len(node.tops))
            _same_weights(executor, node, bottoms)
        except NetcError as error:
            shown = ", ".join(f"{name}{text(shape)}" for name, shape in zip(node.bottoms, bottoms))
            raise error.at(node.span, f"in layer `{node.name}`, bottoms: {shown}") from None
        for name, shape in zip(node.tops, tops):
            if shape is not None and all(map(known, shape)):
                _memory(executor, name).resize(shape)


def _memory(executor: NodeExecutor, value: str) -> Memory:
    return executor.memory[memory_key(executor.graph, value)]


def _same_weights(executor: NodeExecutor, node: Node, bottoms: Shapes) -> None:
    for blob, weight in zip(executor.blobs(node), node.layer.weights(bottoms)):
        if tuple(weight.shape) != tuple(blob.weight.shape if blob.fits else blob.shape):
            raise NetcError(
                f"expected blob {blob.index} of shape {text(weight.shape)} for these bottoms, got {text(blob.shape)}",
                code="E102",
            )
