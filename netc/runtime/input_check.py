"""Checks a net's inputs by the shape rules of its layers.

torch's errors do not name the layer, and some of its modules accept other numbers of axes than Caffe's layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, differ, text

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node
    from netc.ir.layer import Shapes

Given = Mapping[str, Shape]
"""Shapes of the fed values, by name."""


def check_fit(graph: Graph, given: Given, fetches: Sequence[str], weights: bool = False) -> None:
    """Raises NetcError E102 for the first layer on the path to `fetches` that does not accept its bottoms.

    With `weights`, also for bottoms that require weights of another shape. Shapes known only at run time are skipped.
    """
    shapes: dict[str, Shape | None] = dict(given)
    for node in _path(graph, given, fetches):
        bottoms = tuple(shape for shape in map(shapes.get, node.bottoms) if shape is not None)
        if len(bottoms) == len(node.bottoms):
            shapes.update(zip(node.tops, _tops(graph, node, bottoms, weights)))
            shapes.update(given)  # a top that is fed is not the layer's


def _path(graph: Graph, given: Given, fetches: Sequence[str]) -> list[Node]:
    required, nodes = set(fetches) - set(given), []
    for node in reversed(graph.nodes):
        if not required.isdisjoint(node.tops):
            required.update(name for name in node.bottoms if name not in given)
            nodes.append(node)
    return nodes[::-1]


def _tops(graph: Graph, node: Node, bottoms: Shapes, weights: bool) -> tuple[Shape | None, ...]:
    try:
        tops = node.layer.infer(bottoms, len(node.tops))
        if weights:
            _check_weights(graph, node, bottoms)
    except NetcError as error:
        shown = ", ".join(f"{graph.values[name].blob}{text(shape)}" for name, shape in zip(node.bottoms, bottoms))
        raise error.at(node.span, f"in layer `{node.name}`, bottoms: {shown}") from None
    return tops


def _check_weights(graph: Graph, node: Node, bottoms: Shapes) -> None:
    for index, (needed, there) in enumerate(zip(node.layer.weights(bottoms), graph.weights(node))):
        if differ(needed.shape, there.shape):
            found = f"expected blob {index} of shape {text(needed.shape)} for these bottoms, got {text(there.shape)}"
            raise NetcError(found, code="E102")
