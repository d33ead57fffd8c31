"""Warnings about blobs: unused tops, and in-place layers that overwrite a blob that another layer needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic
from netc.ir import coordinates
from netc.ir.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from netc.ir.graph import Graph, Node

RESULTS = ("metric", "score", "opaque")
"""Roles of layers whose tops are results of the net."""
RIGHT = "netc computes the correct gradient in either case, Caffe does not"


def unused_tops(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield W101 for tops that no layer reads and that are unlikely to be results of the net.

    Losses, metrics and nets that consist of data layers are excluded. In a net with a loss, all other layers are
    checked; in a net without one, data layers and inner layers whose type is rarely the last of a net.
    """
    last = max((i for i, node in enumerate(graph.nodes) if _learned(graph, node)), default=-1)
    weighted = {name for name, _ in graph.losses}
    if all(node.layer.is_data for node in graph.nodes):
        return
    for index, node in enumerate(graph.nodes):
        if node.layer.is_loss or node.layer.role in RESULTS:
            continue
        ends = not graph.losses and not node.layer.is_data and (node.layer.role != "inner" or index >= last)
        for place, top in enumerate(node.tops):
            blob = graph.values[top].blob
            if not graph.readers[top] and blob not in lost and top not in weighted and not ends:
                help = "remove it from the layer, or feed it to a `Silence` layer"
                yield Diagnostic(
                    "W101",
                    f"nothing uses the top `{blob}`",
                    node.origin.span("top", place) or node.span,
                    (f"in layer `{node.name}`",),
                    help if len(node.tops) > 1 else None,
                )


def _learned(graph: Graph, node: Node) -> bool:
    if any(graph.shape(name) is None for name in (*node.bottoms, *node.tops)):
        return False
    return any(weight.learnable for weight in graph.weights(node))


def unsafe_in_place(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield W102 for in-place layers that Caffe rejects or computes wrong gradients for.

    In Caffe2 blobs are storage: an operator may overwrite any blob that its schema allows (E023).
    """
    producers = {top: node for node in graph.nodes for top in node.tops}
    order = {node.key: index for index, node in enumerate(graph.nodes)}
    live = Liveness(graph)
    for node in graph.nodes:
        for index, top in enumerate(node.tops):
            if live.memory[top] == top or node.origin.dialect == "caffe2":
                continue
            bottom = node.bottoms[index]
            problem = _problem(graph, node, producers.get(bottom), bottom, order, live)
            if problem:
                message, *notes = problem
                yield Diagnostic(
                    "W102",
                    f"layer `{node.name}` cannot run in place: {message}",
                    node.origin.span("top", index) or node.span,
                    tuple(notes),
                    "use a different name for its top",
                )


def _problem(
    graph: Graph, node: Node, producer: Node | None, bottom: str, order: dict[str, int], live: Liveness
) -> tuple[str, ...] | None:
    """The problem with overwriting a bottom and notes with the reason, None if there is none."""
    blob = graph.values[bottom].blob
    others = [r for r in graph.readers[bottom] if r.key != node.key]
    if others:
        where = "before" if order[others[0].key] < order[node.key] else "too"
        return (
            f"layer `{others[0].name}` reads `{blob}` {where}",
            "Caffe rejects a net in which a blob has two sources",
        )
    if node.layer.role == "opaque":
        return None
    if not _gets_gradient(producer, live):
        return _rearranged(node, blob)
    if not node.layer.in_place:
        return (
            f"`{node.layer.type}` needs its bottom",
            f"its backward pass reads `{blob}`, which it has overwritten",
            RIGHT,
        )
    if producer is not None and _needs_top(producer, node, live):
        return (
            f"layer `{producer.name}` needs `{blob}`",
            f"the backward pass of `{producer.layer.type}` reads its own top",
            RIGHT,
        )
    return None


def _rearranged(node: Node, blob: str) -> tuple[str, ...] | None:
    """The problem with overwriting a bottom that gets no gradient, None if there is none."""
    if not node.layer.rearranges:
        return None
    note = f"its forward pass overwrites elements of `{blob}` that it has yet to read"
    return (f"`{node.layer.type}` needs its bottom", f"{note}: netc computes the correct values, Caffe does not")


def _gets_gradient(producer: Node | None, live: Liveness) -> bool:
    """Whether a gradient reaches the layer that computed the bottom, so that overwriting it matters."""
    return producer is not None and not live.gradients.isdisjoint(producer.tops)


def _needs_top(producer: Node, reader: Node, live: Liveness) -> bool:
    """Whether the backward pass of `producer` reads what `reader` overwrites."""
    read = producer.layer.reads_top(in_place=live.memory[producer.tops[0]] != producer.tops[0])
    return read == "values" or (read == "sign" and not reader.layer.keeps_sign)


def uncomputed_crops(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield W120; see `ir.coordinates.crop_warnings`."""
    return coordinates.crop_warnings(graph)


RULES = (unused_tops, unsafe_in_place, uncomputed_crops)
