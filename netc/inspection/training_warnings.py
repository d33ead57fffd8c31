"""Warnings about training: BatchNorm without Scale, losses with weight 0, labels of an unexpected shape, and data
layers that change their records at random, each on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic
from netc.ir.dims import Shape, known, text
from netc.ir.layer import DataLayer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from netc.ir.graph import Graph, Node


def lone_batch_norms(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield one W103 per net for BatchNorm layers without a Scale: Caffe's has no learned factor and offset."""
    lone = [
        node
        for node in graph.nodes
        if node.layer.batch_statistics and node.layer.role == "inner"  # not a mean image
        if node.tops and not any(p.learnable for p in graph.parameters_of(node))
        if graph.values[node.tops[0]].blob not in lost and not _has_scale_after(graph, node.tops[0])
    ]
    if lone:
        others = f" and {len(lone) - 1} more" if len(lone) > 1 else ""
        yield Diagnostic(
            "W103",
            f"no `Scale` follows the BatchNorm layer `{lone[0].name}`{others}",
            lone[0].span,
            ("Caffe's BatchNorm only normalizes: the learned factor and offset belong to a `Scale` layer",),
            "add a `Scale` layer with `scale_param { bias_term: true }` after each",
        )


def _has_scale_after(graph: Graph, value: str) -> bool:
    """Whether a Scale reads a value, possibly after layers that only rearrange it (C.ReLU: concatenated with -x)."""
    waiting, seen = [value], {value}
    while waiting:
        for reader in graph.readers[waiting.pop()]:
            if reader.layer.affine:
                return True
            if reader.layer.elements != "computed":
                waiting += [top for top in reader.tops if top not in seen]
                seen.update(reader.tops)
    return False


def weightless_losses(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield W104 for losses whose `loss_weight` is 0 for every top: nothing is learned from them."""
    for node in graph.nodes:
        weights = node.origin.get("loss_weight", ())
        if node.layer.is_loss and not any(weights or (node.layer.default_loss_weight,)):
            found = "has `loss_weight: 0`" if weights else "has no `loss_weight`, which is 0 for its type by default"
            yield Diagnostic(
                "W104",
                f"the loss `{node.name}` {found}: nothing is learned from it",
                node.origin.span("loss_weight") or node.span,
            )


def odd_labels(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield W105 for labels that match the predictions in number but not in shape, so that they are misaligned."""
    for node in graph.nodes:
        if len(node.bottoms) < 2 or any(graph.shape(top) is None for top in node.tops):
            continue  # too few bottoms, or an error in the layer
        scores, labels = graph.shape(node.bottoms[0]), graph.shape(node.bottoms[1])
        if scores is None or labels is None or not all(map(known, (*scores, *labels))):
            continue
        expected = node.layer.label_shape(scores)
        if expected is not None and _squeezed(labels) != _squeezed(expected) and not _is_flat(labels):
            yield Diagnostic(
                "W105",
                f"labels {text(labels)} match predictions {text(scores)} in number, but not in shape",
                node.origin.span("bottom", 1) or node.span,
                (f"in layer `{node.name}`: expected shape {text(expected)}",),
            )


def _squeezed(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


def _is_flat(shape: Shape) -> bool:
    """Whether at most one axis after the batch has an extent other than 1: (n, c)."""
    return len(_squeezed(shape[1:])) < 2


def random_pairs(graph: Graph, lost: AbstractSet[str]) -> Iterator[Diagnostic]:
    """Yield W110 for two data layers that each shuffle or change their records at random, and meet in one loss."""
    sources: dict[str, frozenset[str]] = {}
    reported: set[frozenset[str]] = set()
    for node in graph.nodes:
        read = frozenset[str]().union(*(sources[name] for name in node.bottoms if name in sources))
        if isinstance(node.layer, DataLayer) and node.layer.random_fields(graph.state.phase == "TRAIN"):
            read = frozenset((node.key,))
        sources |= dict.fromkeys(node.tops, read)
        if node.layer.is_loss and len(read) > 1 and read not in reported:
            reported.add(read)
            yield _random_pair(graph, node, read)


def _random_pair(graph: Graph, loss: Node, keys: frozenset[str]) -> Diagnostic:
    first, second = [node for node in graph.nodes if node.key in keys][:2]
    drawn = [_drawn(graph, node) for node in (first, second)]
    return Diagnostic(
        "W110",
        f"layers `{first.name}` and `{second.name}` change their records at random, each on its own",
        second.span,
        (f"`{first.name}`: {drawn[0]}; `{second.name}`: {drawn[1]}", f"they meet in the loss `{loss.name}`"),
        "read records that belong together in one data layer, or change them before training",
    )


def _drawn(graph: Graph, node: Node) -> str:
    assert isinstance(node.layer, DataLayer)
    return ", ".join(f"`{name}`" for name in node.layer.random_fields(graph.state.phase == "TRAIN"))


RULES = (lone_batch_norms, weightless_losses, odd_labels, random_pairs)
