"""Removes what only training and scoring need: losses, accuracies, and inputs that only they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.ir.verify import verify
from netc.passes.arrays import rewired

if TYPE_CHECKING:
    from netc.ir.graph import Graph


def drop_losses(graph: Graph) -> Graph:
    """Return the graph without losses and accuracies: their bottoms become outputs, unused inputs are removed.

    A layer whose results are read only by removed layers is kept: its results become outputs of the net.
    """
    verify(graph)
    kept = [node for node in graph.nodes if not (node.layer.is_loss or node.layer.role in ("metric", "sink"))]
    if len(kept) == len(graph.nodes):
        return graph
    read = {name for node in kept for name in node.bottoms}
    inputs = tuple(name for name in graph.inputs if name in read)
    return verify(rewired(graph.replace(inputs=inputs), kept, {}))
