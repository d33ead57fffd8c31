"""The nets of a file: one for each state that its rules distinguish, with its diagnostics."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from netc.compiler import checked_graph
from netc.diagnostics import Diagnostic, NetcError, Report
from netc.layers import layer_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from netc.frontends import NetDefinition
    from netc.ir.dims import Shape
    from netc.ir.graph import Graph, Phase, State
    from netc.ir.origin import Origin
    from netc.ir.shapes import Probe

DEPENDS_ON_STATE = ("E011", "E012")
"""A bottom without a top, a top that is produced twice: such errors also occur in states that are never used."""


@dataclass
class PhaseNet:
    """One net of a file."""

    state: State
    graph: Graph
    report: Report
    chosen: tuple[bool, ...]
    """For each layer of the file, whether it is in this net."""
    wanted: bool
    """Whether the user or a solver requested this state; others only follow from the rules of the file."""
    valid: frozenset[Origin] = field(init=False)
    """The layers that were built."""

    def __post_init__(self) -> None:
        self.valid = frozenset(node.origin for node in self.graph.nodes)

    def lost(self, net: NetDefinition) -> frozenset[str]:
        """The bottoms of layers of this net that could not be built: these blobs count as used."""
        own = (layer for layer, chosen in zip(net.layers, self.chosen) if chosen)
        return frozenset(bottom for layer in own if layer not in self.valid for bottom in layer.bottoms)

    @property
    def name(self) -> str:
        """The name of the net in notes.

        >>> from netc.diagnostics import Report
        >>> from netc.ir.graph import Graph, State
        >>> PhaseNet(State("TRAIN", 0, ("a",)), Graph("", (), {}), Report(), (), False).name
        'the TRAIN net with stage `a`'
        """
        stages = " and ".join(f"`{stage}`" for stage in self.state.stages)
        level = f" at level {self.state.level}" if self.state.level else ""
        return f"the {self.state.phase} net" + (f" with stage {stages}" if stages else "") + level


def phase_nets(
    net: NetDefinition,
    wanted: Iterable[State],
    possible: Iterable[State],
    probe: Probe,
    shapes: Mapping[str, Shape] | None = None,
) -> list[PhaseNet]:
    """Build a net for each state whose set of layers differs from those of previous states; `wanted` states first."""
    found: dict[tuple[bool, ...], PhaseNet] = {}
    for state, requested in [*((state, True) for state in wanted), *((state, False) for state in possible)]:
        chosen = tuple(_chosen(net, layer, state) for layer in net.layers)
        if chosen not in found:
            graph, report = checked_graph(net, state, probe, shapes)
            found[chosen] = PhaseNet(state, graph, report, chosen, requested)
    return _with_sources(net, list(found.values()))


def _chosen(net: NetDefinition, layer: Origin, state: State) -> bool:
    try:
        return net.included(layer, state)
    except NetcError:
        return True  # the error is reported when the graph is built


def _with_sources(net: NetDefinition, found: list[PhaseNet]) -> list[PhaseNet]:
    """Drop the nets that are only possible and have no data, such as the TEST net of a file for training only."""
    return [one for one in found if one.wanted or is_fed(net, one.state)] or found


def is_fed(net: NetDefinition, state: State) -> bool:
    """Whether a net has a layer of any type with tops and without bottoms."""
    sources = (layer for layer in net.layers if layer.tops and not layer.bottoms and not _is_blob(layer))
    return any(_chosen(net, layer, state) for layer in sources)


def _is_blob(layer: Origin) -> bool:
    """Whether the layer's top is a parameter that it learns (`Parameter`) and not data."""
    return any(meaning.top_is_blob for meaning in layer_classes(layer.type))


def findings(
    net: NetDefinition, found: Sequence[PhaseNet], rule: Callable[[PhaseNet], Iterable[Diagnostic]]
) -> list[Diagnostic]:
    """Apply a rule to each net and merge equal diagnostics, with a note if only some of the nets are affected."""
    seen: dict[tuple[object, ...], tuple[Diagnostic, list[PhaseNet]]] = {}
    for one in found:
        reported: set[tuple[object, ...]] = set()
        for diagnostic in rule(one):
            key = _place(diagnostic)
            if key in reported:  # two problems at the same position of one net
                key = (*key, diagnostic.message)
            reported.add(key)
            seen.setdefault(key, (diagnostic, []))[1].append(one)
    kept = ((d, affected) for d, affected in seen.values() if is_relevant(net, d, affected, found))
    return [_noted(net, d, affected, found) for d, affected in kept]


def _place(found: Diagnostic) -> tuple[object, ...]:
    if found.span is None:
        return (found.code, found.message)
    return (found.code, found.span.source.name, found.span.start, found.span.end)


def is_relevant(net: NetDefinition, found: Diagnostic, affected: list[PhaseNet], nets: Sequence[PhaseNet]) -> bool:
    """Whether to report a diagnostic, which may occur only in states that are never used.

    Diagnostics of requested nets are always reported. An error that depends on the state is dropped if other nets are
    requested, if the file is not for that phase, or if the layer is valid in another net: of the same phase, if the
    error occurs in a net without additional stages. In nets with additional stages only, a missing bottom is reported
    if no layer of the file produces it. A warning that occurs only in such nets is reported if it occurs in every net
    with the layer.
    """
    index = net.layer_of(found)
    if index is None or any(one.wanted for one in affected):
        return True
    least = min(len(one.state.stages) for one in nets)
    plain = {one.state.phase for one in affected if len(one.state.stages) == least}
    if found.severity == "warning":
        return bool(plain) or len(affected) == sum(one.chosen[index] for one in nets)
    if found.code not in DEPENDS_ON_STATE:
        return True
    if any(one.wanted for one in nets) or not any(is_meant_for(net, one.state.phase) for one in affected):
        return False
    others = [one for one in nets if not plain or one.state.phase in plain]
    is_valid = any(net.layers[index] in one.valid for one in others)
    return not is_valid and (bool(plain) or found.code != "E011" or _is_unknown(net, index))


def is_meant_for(net: NetDefinition, phase: Phase) -> bool:
    """Whether a file is for a phase: not if it reserves layers for the other one only.

    A file with a loss is for training even if only tests have layers of their own.
    """
    named = {name for name, _ in net.mentions("phase")}
    if named != {"TEST" if phase == "TRAIN" else "TRAIN"}:
        return True
    return phase == "TRAIN" and any(cls.is_loss for layer in net.layers for cls in layer_classes(layer.type))


def _is_unknown(net: NetDefinition, index: int) -> bool:
    """Whether a layer has a bottom that no earlier layer produces, whatever the state."""
    produced = {top for layer in net.layers[:index] for top in layer.tops}
    return not produced.issuperset(net.layers[index].bottoms)


def _noted(net: NetDefinition, found: Diagnostic, affected: list[PhaseNet], nets: Sequence[PhaseNet]) -> Diagnostic:
    """Add the name of the first affected net if the layer is also in other nets without this problem."""
    index = net.layer_of(found)
    concerned = [one for one in nets if index is None or one.chosen[index]]
    if len(affected) >= len(concerned):
        return found
    return replace(found, notes=(*found.notes, f"in {affected[0].name}"))
