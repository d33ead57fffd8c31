"""Checks a net's inputs by the shape rules of its layers.

torch's errors do not name the layer, and some of its modules accept other numbers of axes than Caffe's layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, differ, text
from netc.ir.dtypes import DType, suffix

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node
    from netc.ir.layer import Shapes

Given = Mapping[str, Shape]
"""Shapes of the fed values, by name."""


def check_fit(
    graph: Graph,
    given: Given,
    fetches: Sequence[str],
    weights: bool = False,
    types: Mapping[str, DType] = MappingProxyType({}),
) -> None:
    """Raises NetcError E102 for the first layer on the path to `fetches` that does not accept its bottoms.

    With `weights`, also for bottoms that require weights of another shape. `types` are those of fed values of unknown
    type. Shapes known only at run time are skipped.
    """
    shapes: dict[str, Shape | None] = dict(given)
    dtypes = dict(types)
    for node in _path(graph, given, fetches):
        bottoms = tuple(shape for shape in map(shapes.get, node.bottoms) if shape is not None)
        if node.origin.dialect == "caffe2":
            dtypes.update(zip(node.tops, _dtypes(graph, node, dtypes)))
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
        raise error.at(node.span, node.note(shown)) from None
    return tops


def _dtypes(graph: Graph, node: Node, known: Mapping[str, DType]) -> tuple[DType, ...]:
    bottoms = tuple(known.get(name, graph.values[name].dtype) for name in node.bottoms)
    try:
        return node.layer.dtypes(bottoms, len(node.tops))
    except NetcError as error:
        shown = ", ".join(f"{graph.values[name].blob}{suffix(dtype)}" for name, dtype in zip(node.bottoms, bottoms))
        raise error.at(node.span, node.note(shown)) from None


def _check_weights(graph: Graph, node: Node, bottoms: Shapes) -> None:
    for index, (needed, there) in enumerate(zip(node.layer.weights(bottoms), graph.weights(node))):
        if differ(needed.shape, there.shape):
            found = f"expected blob {index} of shape {text(needed.shape)} for these bottoms, got {text(there.shape)}"
            raise NetcError(found, code="E102")
