"""netc's own net, from a prototxt and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from netc.compiler import issue_warnings
from netc.conversion.models import Files, open_net
from netc.conversion.runners.runner import Values, Writers, engine_errors, given
from netc.exporters.symbolic_shapes import Extents, symbolic_shapes
from netc.ir.dims import known
from netc.ir.dtypes import is_floating

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.compiler import StateChoice
    from netc.ir.dims import Shape
    from netc.ir.graph import Graph
    from netc.passes.arrays import Array


class NetRunner:
    """netc's own net."""

    versions = True

    def __init__(
        self, path: str | Path, weights: Files, shapes: Mapping[str, Shape] | None, state: StateChoice
    ) -> None:
        self.path = path
        self.net = open_net(path, weights, shapes=shapes, state=state)
        issue_warnings(self.net.report.warnings)
        graph = self.net.graph
        self.inputs: dict[str, Extents] = _inputs(graph)
        self.indices = {graph.values[name].blob for name in graph.inputs if graph.is_index(name)}
        self.fetches = tuple(top for node in graph.nodes for top in node.tops)
        self.writers: Writers = {top: (node.name,) for node in graph.nodes for top in node.tops}
        self.blobs = {name: value.blob for name, value in graph.values.items()}

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """Every value of the graph."""
        graph = self.net.graph
        types = (graph.values[name].dtype for name in graph.inputs)
        arrays = [
            np.array(given(self, inputs, name), np.float32 if is_floating(dtype) else dtype)
            for name, dtype in zip(self.inputs, types)
        ]
        program = self.net.program(graph.inputs, self.fetches)
        with torch.no_grad(), engine_errors(self.path, inputs):
            results = program(self.net, *map(torch.from_numpy, arrays))
        return {name: tensor.detach().numpy() for name, tensor in zip(self.fetches, results)}


def _inputs(graph: Graph) -> dict[str, Extents]:
    """The inputs with their extents; beyond the first axis an extent that is unknown is not free."""
    extents = symbolic_shapes(graph).extents
    found = {}
    for name in graph.inputs:
        own, free = graph.shape(name) or (), extents[name] or ()
        found[graph.values[name].blob] = (*free[:1], *(f if known(o) else o for o, f in zip(own[1:], free[1:])))
    return found
