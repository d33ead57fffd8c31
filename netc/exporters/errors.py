"""Errors for what a format cannot express."""

from __future__ import annotations

from typing import NoReturn

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, known, text
from netc.ir.graph import Graph, Node


def cannot_export(node: Node, format_name: str, *notes: str) -> NetcError:
    """E801 for a layer that cannot be exported to a format (`ONNX`, `a .py file`)."""
    return NetcError(
        f"a layer of type `{node.layer.type}` cannot be exported to {format_name}",
        code="E801",
        span=node.span,
        notes=[f"layer `{node.name}`", *notes],
    )


def unsupported(reason: str, field: str | None = None) -> NoReturn:
    """Raise NetcError E801: the one way in which a rule says that it cannot express a layer.

    `reason` completes "the layer ..."; `field` names the parameter. The caller tries the general path, and adds the
    layer and its place where that fails too.
    """
    raise NetcError(reason, code="E801", field=field)


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
