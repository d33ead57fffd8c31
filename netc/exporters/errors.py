"""What a format has no word for."""

from __future__ import annotations

from typing import NoReturn

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, known, text
from netc.ir.graph import Graph, Node


def no_rule(node: Node, what: str, *notes: str) -> NetcError:
    """The error for a layer that cannot be written as `what` (a .py file, ONNX)."""
    return NetcError(
        f"a layer of type `{node.layer.type}` cannot be written as {what} yet",
        code="E801",
        span=node.span,
        notes=[f"layer `{node.name}`", *notes],
    )


def unable(message: str, field: str | None = None) -> NoReturn:
    """Raise NetcError E801 for a parameter that a format has no word for; the caller adds the layer."""
    raise NetcError(message, code="E801", field=field)


def known_shape(graph: Graph, name: str, free: int = 0) -> Shape:
    """The shape of a value, known but for the first `free` axes. Raises NetcError E802."""
    shape = graph.shape(name)
    if shape is None or not all(map(known, shape[free:])):
        raise NetcError(
            f"the shape of `{graph.values[name].blob}` is not known: {text(shape)}",
            code="E802",
            help="give the shape of the data: `--shape data=n,c,h,w`",
        )
    return shape
