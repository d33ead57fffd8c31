"""Errors for what a format cannot express."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from netc.diagnostics import NetcError
from netc.ir.dims import Shape, known, text

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node
    from netc.ir.layer import Layer


def cannot_export(node: Node, format_name: str, *notes: str, help: str | None = None) -> NetcError:
    """E801 for a layer that cannot be exported to a format (`ONNX`, `a .py file`)."""
    return NetcError(
        f"a layer of type `{node.layer.type}` cannot be exported to {format_name}",
        code="E801",
        span=node.span,
        notes=[f"layer `{node.name}`", *dict.fromkeys(notes)],
        help=help,
    )


def unsupported(reason: str, field: str | None = None) -> NoReturn:
    """Raise NetcError E801: the one way in which a rule says that it cannot express a layer.

    `reason` completes "the layer ..."; `field` names the parameter. The caller tries the general path, and adds the
    layer and its place where that fails too.
    """
    raise NetcError(reason, code="E801", field=field)


def check_function(layer: Layer, tops: int) -> None:
    """Raise NetcError E801 for a layer that is more than a function of its bottoms and blobs."""
    if layer.role == "opaque":
        unsupported("it runs code of the user")
    if layer.is_data or not tops:
        unsupported("it reads or writes files" if layer.is_data else "it has no top")


def check_traceable(layer: Layer, bottoms: int, tops: int) -> None:
    """Raise NetcError E801 as `check_function`, and for a layer that reads a constant from a file."""
    check_function(layer, tops)
    if any(constant.file for constant in layer.constants(bottoms)):
        unsupported("it reads a constant from a file")


ANY_AXES = 32
"""More axes than a blob may have."""


def known_shape(graph: Graph, name: str, free: int = 0) -> Shape:
    """The shape of a value, known but for the first `free` axes. Raises NetcError E802."""
    shape = graph.shape(name)
    if shape is None or not all(map(known, shape[free:])):
        raise NetcError(
            f"the shape of `{graph.values[name].blob}` is unknown: {text(shape)}",
            code="E802",
            help=f"pass the shape of the data: `--shape {_shape_option(graph, name)}`",
        )
    return shape


def _shape_option(graph: Graph, name: str) -> str:
    """An example of `--shape` for an input; for another value, which follows from them, for the data."""
    return f"{graph.values[name].blob}=n,c,h,w" if name in graph.inputs else "data=n,c,h,w"
