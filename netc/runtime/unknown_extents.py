"""Weights whose shapes depend on unknown extents: which layers cause it, and what the user can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.ir.dims import all_known, known
from netc.ir.layer import Layer
from netc.ir.layer_host import TRUST, PythonCode, not_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netc.ir.graph import Graph, Node

AXES = "nchw"
"""Letters for unknown extents."""


class UnknownWeightsError(NetcError):
    """E203: weights of `node` depend on an unknown extent."""

    def __init__(self, graph: Graph, node: Node, causes: Sequence[str] = (), help: str | None = None) -> None:
        why = f": {'; '.join(causes)}" if causes else ""
        super().__init__(
            f"weights of layer `{node.name}` depend on an unknown extent{why}",
            code="E203",
            span=node.span,
            help=help or f"set the data's shape: {_options(graph, graph.inputs)}",
        )
        self.node = node


def weights_are_unknown(graph: Graph, node: Node) -> bool:
    """Whether the shape of a node's weight depends on an unknown extent."""
    if any(graph.shape(name) is None for name in node.bottoms):
        return type(node.layer).weights is not Layer.weights
    return any(not known(extent) for weight in graph.weights(node) for extent in weight.shape)


def explained(graph: Graph, error: UnknownWeightsError, reason: Callable[[Node], str | None]) -> NetcError:
    """The error with its causes: the layers of `graph`, which has its data layers, where unknown extents begin.

    It is E201 if the code of a Python layer determines them. `reason` says why a data layer's shapes are unknown.
    """
    origins = _origins(graph, error.node)
    for node in origins:
        if isinstance(node.layer, PythonCode):
            return _code(graph, node, error.node)
    tops = [top for node in origins for top in node.tops]
    causes = list(dict.fromkeys(cause for node in origins if (cause := reason(node))))
    return UnknownWeightsError(graph, error.node, causes, f"set the data's shape: {_options(graph, tops)}")


def _code(graph: Graph, node: Node, reader: Node) -> NetcError:
    note = f"weights of layer `{reader.name}` depend on the shapes of its tops"
    help = TRUST
    if node.layer.is_data:
        help = f"{TRUST}; without the code, its tops are inputs if you pass their shapes: {_options(graph, node.tops)}"
    return not_allowed(node.layer, note, help=help).at(node.span, f"in layer `{node.name}`")  # type: ignore[arg-type]


def _origins(graph: Graph, node: Node) -> list[Node]:
    """The layers before a node that have an unknown top but no unknown bottom."""
    wanted, found = set(node.bottoms), []
    for other in reversed(graph.nodes):
        unknown = [top for top in other.tops if not all_known(graph.shape(top))]
        if wanted.isdisjoint(unknown):
            continue
        unclear = [name for name in other.bottoms if not all_known(graph.shape(name))]
        wanted.update(unclear)
        if not unclear:
            found.append(other)
    return found[::-1]


def _options(graph: Graph, tops: Sequence[str]) -> str:
    """The options that set the shapes of these values, those of known shape left out."""
    wanted = [name for name in tops if not all_known(graph.shape(name))]
    return " ".join(f"`--shape {graph.values[name].blob}={_asked(graph, name, wanted[0])}`" for name in wanted)


def _asked(graph: Graph, name: str, first: str) -> str:
    shape = graph.shape(name)
    if shape is None:
        return ",".join(AXES) if name == first else "..."
    letters = AXES if len(shape) == len(AXES) else "?" * len(shape)
    return ",".join(str(extent) if known(extent) else letter for extent, letter in zip(shape, letters))
