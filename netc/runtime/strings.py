"""Blobs of strings, which tensors do not hold: what the file gives is returned as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from netc.ir.graph import Graph


def given_strings(graph: Graph, values: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Those of the values that are strings in the file, as arrays of bytes by the names of their blobs."""
    wanted = {name for name in values if graph.values[name].dtype == "string"}
    if not wanted:
        return {}
    arrays = ((node.tops[0], node.layer.given()) for node in graph.nodes if not wanted.isdisjoint(node.tops))
    return {graph.values[name].blob: array for name, array in arrays if array is not None}
