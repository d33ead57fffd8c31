"""The feed of a layer for which no program supplies data: random input, to time a net."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from netc.diagnostics import NetcError
from netc.ir.dims import known, text

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node

CPU = torch.device("cpu")


class RandomFeed:
    """The same tensors in each pass: normally distributed, and zeros where they are labels or other indices."""

    def __init__(self, node: Node, graph: Graph, device: torch.device = CPU, seed: int = 0) -> None:
        """Raises NetcError E203 for a top whose shape is unknown."""
        generator = Generator().manual_seed(seed)
        self._tops = tuple(_tensor(node, graph, top, generator).to(device) for top in node.tops)

    def next(self) -> tuple[Tensor, ...]:
        """See Feed."""
        return self._tops

    def state(self) -> dict[str, Any]:
        """See LayerFeed."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """See LayerFeed."""

    def seek(self, batches: int) -> None:
        """See LayerFeed."""

    def close(self) -> None:
        """See Feed."""


def _tensor(node: Node, graph: Graph, top: str, generator: Generator) -> Tensor:
    shape, blob = graph.shape(top), graph.values[top].blob
    if shape is None or not all(map(known, shape)):
        raise NetcError(
            f"the shape of input `{blob}` is {'unknown' if shape is None else text(shape)}",
            code="E203",
            span=node.span,
            notes=[f"in layer `{node.name}`"],
            help=f"pass it: `--shape {blob}=N,C,H,W`",
        )
    return torch.zeros(shape) if _is_index(graph, top) else torch.randn(shape, generator=generator)


def _is_index(graph: Graph, name: str) -> bool:
    """Whether a value is used only as indices, possibly after layers that only move elements, such as Slice."""
    if graph.is_index(name):
        return True
    readers = [node for node in graph.readers[name] if node.layer.role != "sink"]
    return bool(readers) and all(
        (node.layer.elements == "moved" and all(_is_index(graph, top) for top in node.tops))
        or _reads_as_index(node, name)
        for node in readers
    )


def _reads_as_index(node: Node, name: str) -> bool:
    return all(i in node.layer.indices for i, bottom in enumerate(node.bottoms) if bottom == name)
