"""Sums the gradients of a value over its readers (`insert_splits.cpp`, `split_layer.cpp`).

Caffe inserts a Split layer between a blob and its readers. Its backward pass adds the diffs of its tops, which
keep their values from pass to pass. Here the sum is computed when the first reader that has a gradient has run
backward, because it is the last of the readers to do so.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netc.ir.gradients import GradientNeeds
    from netc.ir.graph import Graph, Node

_Edge = tuple[str, int]
"""Key of a node and position of one of its bottoms."""


class FanOut:
    """The gradients of every use of a value, and their sum.

    `needs` specifies which uses compute a gradient, including those of layers without tops (Silence), whose gradient is
    zero. If the value contributes to the loss, its loss weight is added to the sum.
    """

    def __init__(self, graph: Graph, needs: Mapping[str, GradientNeeds]) -> None:
        self._weights = dict(graph.losses)
        self._edges: dict[str, list[_Edge]] = {name: [] for name in graph.values}
        for node in graph.nodes:
            for position, (name, need) in enumerate(zip(node.bottoms, needs[node.key].bottoms)):
                if need:
                    self._edges[name].append((node.key, position))
        self._parts: dict[_Edge, Tensor] = {}

    def add(self, node: Node, position: int, gradient: Tensor) -> Tensor | None:
        """Add the gradient of one bottom of a node, computed in a backward pass from the last node to the first.

        Bottoms of one node are added in order. Returns the gradient of the bottom's value once its first reader is
        done, and None before. A reader that did not run in this pass contributes its gradient of an earlier one.
        """
        name, edge = node.bottoms[position], (node.key, position)
        edges, weight = self._edges[name], self._weights.get(name, 0.0)
        if len(edges) > 1:
            self._parts[edge] = gradient
            if edge != _last_to_run(edges):
                return None
            gradient = functools.reduce(torch.add, self._of_shape(edges, gradient))
        return gradient + weight if weight else gradient

    def clear(self) -> None:
        """Discard all gradients."""
        self._parts.clear()

    def _of_shape(self, edges: list[_Edge], like: Tensor) -> list[Tensor]:
        """The gradients of these uses; those of another batch size are omitted."""
        parts = (self._parts.get(edge) for edge in edges)
        return [part for part in parts if part is not None and part.shape == like.shape]


def _last_to_run(edges: list[_Edge]) -> _Edge:
    """The last bottom of the first reader."""
    return max((edge for edge in edges if edge[0] == edges[0][0]), key=lambda edge: edge[1])
