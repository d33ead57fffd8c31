"""Removes data layers: their tops become the graph's inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netc.ir.graph import Graph


def data_to_inputs(graph: Graph) -> Graph:
    """Return the graph without its data layers, with their tops as inputs."""
    data = [node for node in graph.nodes if node.layer.is_data]
    rest = tuple(node for node in graph.nodes if not node.layer.is_data)
    inputs = {top: replace(graph.values[top], origin=node.origin) for node in data for top in node.tops}
    return graph.replace(nodes=rest, inputs=(*graph.inputs, *inputs), values={**graph.values, **inputs})
