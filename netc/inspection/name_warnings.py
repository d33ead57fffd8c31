"""Warnings about names that are used only once, and about layers that only one phase learns."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, Span, did_you_mean
from netc.ir.dims import known, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from netc.frontends import NetDefinition
    from netc.inspection.phase_nets import PhaseNet
    from netc.ir.graph import Graph, Node

NEAR = 0.75
"""Minimum similarity (difflib's ratio) for a name to be considered a misspelling of another."""
FEW = 5
"""Maximum number of names that a message lists."""


def lone_names(net: NetDefinition) -> Iterator[Diagnostic]:
    """Yield W107 for stages and shared parameters that are used once and have a name similar to another."""
    for kind in ("stage", "parameter"):
        yield from _lone(kind, list(net.mentions(kind)))


def _lone(what: str, named: list[tuple[str, Span | None]]) -> Iterator[Diagnostic]:
    counts = Counter(name for name, _ in named)
    shared = [name for name, count in counts.items() if count > 1]
    if not shared or len(counts) > 1000:
        return
    for name, span in named:
        near = misspelling(name, shared) if name and counts[name] == 1 else None
        if near:
            yield Diagnostic("W107", f"the {what} `{name}` is mentioned only once", span, (), f"did you mean `{near}`?")


def misspelling(name: str, known_names: Iterable[str]) -> str | None:
    """Return the name that this one may be a misspelling of, if any; names with different numbers are distinct.

    >>> misspelling("depoly", ["deploy"]), misspelling("conv2_w", ["conv1_w"]), misspelling("conv1_W", ["conv1_w"])
    ('deploy', None, 'conv1_w')
    """
    for near in difflib.get_close_matches(name, list(known_names), n=3, cutoff=NEAR):
        if abs(len(near) - len(name)) < 2 and _numbers(near) == _numbers(name) and not _is_counterpart(near, name):
            return near
    return None


def _numbers(name: str) -> str:
    return "".join(filter(str.isdigit, name))


def _is_counterpart(one: str, other: str) -> bool:
    """Whether two names differ only in their suffix: `conv_w` and `conv_b`, `train` and `train-set`."""
    if one.startswith(other) or other.startswith(one):
        return True
    return len(one) == len(other) and one[:-1] == other[:-1] and one[-1].lower() != other[-1].lower()


def unknown_stages(stages: Sequence[tuple[str, Span | None]], nets: Collection[NetDefinition]) -> Iterator[Diagnostic]:
    """Yield W107 for stages of a solver that no rule of its nets mentions."""
    mentioned = {name for net in nets for name, _ in net.mentions("stage")}
    for name, span in stages:
        if name and name not in mentioned:
            near = misspelling(name, sorted(mentioned))
            help = f"did you mean `{near}`?" if near else None
            yield Diagnostic("W107", f"no layer rule mentions the stage `{name}`", span, (), help)


def one_sided(nets: Sequence[PhaseNet]) -> Iterator[Diagnostic]:
    """Yield W106 for layers that only the train net or only the test net learns, and E204 for different blob shapes.

    Compares the first net of each phase, which has no additional stages.
    """
    train, test = (next((net for net in nets if net.state.phase == phase), None) for phase in ("TRAIN", "TEST"))
    if train and test and not train.report.errors and not test.report.errors:
        yield from compare_learned(train.graph, test.graph)


def compare_learned(train: Graph, test: Graph) -> Iterator[Diagnostic]:
    """As `one_sided`, for two graphs."""
    ours, theirs = _learned(train), _learned(test)
    unused, untrained = "the test net does not use what it learns", "it is tested with its initial values"
    yield from _missing(ours, theirs, _unclear(test), "only the train net has", unused)
    yield from _missing(theirs, ours, _unclear(train), "only the test net has", untrained)
    for name, node in theirs.items():
        if name in ours:
            yield from _reshaped(train, ours[name], test, node)


def _learned(graph: Graph) -> dict[str, Node]:
    """Nodes with learned blobs and known shapes, by name."""
    inferred = (n for n in graph.nodes if all(graph.shape(v) is not None for v in (*n.bottoms, *n.tops)))
    return {node.name: node for node in inferred if graph.weights(node)}


def _unclear(graph: Graph) -> set[str]:
    """Names of nodes that may learn something: unknown shapes, such as those of a missing source, hide it."""
    return {node.name for node in graph.nodes if any(graph.shape(v) is None for v in (*node.bottoms, *node.tops))}


def _missing(
    these: dict[str, Node], others: dict[str, Node], unclear: set[str], which: str, note: str
) -> Iterator[Diagnostic]:
    # Weights shared by name with a layer of both nets are trained and tested there.
    shared = {param.name for node in others.values() for param in node.param_specs if param.name}
    alone = [
        node
        for name, node in these.items()
        if name not in others
        and name not in unclear
        and not (node.param_specs and all(param.name in shared for param in node.param_specs))
    ]
    if alone:
        more = f" and {len(alone) - FEW} more" if len(alone) > FEW else ""
        names = ", ".join(f"`{node.name}`" for node in alone[:FEW])
        message = f"{which} the learned layer{'s' * (len(alone) > 1)} {names}{more}"
        yield Diagnostic("W106", message, alone[0].origin.span("name") or alone[0].span, (note,))


def _reshaped(train: Graph, ours: Node, test: Graph, theirs: Node) -> Iterator[Diagnostic]:
    shapes = [tuple(w.shape for w in graph.weights(node)) for graph, node in ((train, ours), (test, theirs))]
    if not all(known(extent) for blobs in shapes for shape in blobs for extent in shape) or shapes[0] == shapes[1]:
        return
    yield Diagnostic(
        "E204",
        f"layer `{ours.name}` has different weights in the test net and in the train net",
        theirs.span,
        tuple(f"{phase}: {', '.join(map(text, blobs))}" for phase, blobs in zip(("train", "test"), shapes)),
    )


def unused_shapes(net: NetDefinition, shapes: Collection[str]) -> Iterator[Diagnostic]:
    """Yield W039 for blobs whose shapes are specified although they are not inputs."""
    inputs = net.inputs
    for blob in shapes:
        if blob not in inputs:
            help = did_you_mean(blob, inputs)
            yield Diagnostic("W039", f"shape given for `{blob}`, which is not an input of the net", None, (), help)
