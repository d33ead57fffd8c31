"""Refuses nets that need more memory than there is, before anything is allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.host_memory import excess, in_units
from netc.ir.dims import all_known, product
from netc.ir.dtypes import ITEM_BYTES
from netc.ir.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

    from netc.ir.graph import Graph


def check_weights_memory(graph: Graph) -> None:
    """Raise NetcError E104 if the weights of a graph exceed the memory that is available."""
    sizes: dict[str, int] = {}
    for node in graph.nodes:
        for entry in graph.parameters_of(node):
            if all_known(entry.shape) and entry.array is None:
                sizes.setdefault(entry.name, product(entry.shape) * (ITEM_BYTES[entry.dtype] or 0))
    readers = {name: node.key for node in reversed(graph.nodes) for name in node.parameters}
    _check(graph, sum(sizes.values()), ((readers[name], size) for name, size in sizes.items()), "the weights take")


def check_pass_memory(graph: Graph, device: torch.device) -> None:
    """Raise NetcError E104 if the blobs of a pass exceed the memory that is available, on a CPU."""
    live = Liveness(graph)
    if device.type != "cpu" or live.inference_peak is None:
        return
    tops = ((node.key, live.bytes(node.tops) or 0) for node in graph.nodes)
    _check(graph, live.inference_peak, tops, "the blobs of a pass take")


def _check(graph: Graph, total: int, sizes: Iterable[tuple[str, int]], what: str) -> None:
    found = excess(total)
    if found is None:
        return
    by_node: dict[str, int] = {}
    for key, size in sizes:
        by_node[key] = by_node.get(key, 0) + size
    raise _refused(graph, by_node, f"{what} {found}")


def _refused(graph: Graph, by_node: Mapping[str, int], message: str) -> NetcError:
    """The error, at the layer with the largest share."""
    largest = max(by_node, key=lambda key: by_node[key], default=None)
    if largest is None:
        return NetcError(message, code="E104")
    node = graph.by_key[largest]
    note = f"{in_units(by_node[largest])} of it in layer `{node.name}`"
    return NetcError(message, code="E104", span=node.span, notes=[note])
