"""The nets of a file: one for each state that its rules tell apart, with what is wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netc.compiler import checked_graph
from netc.diagnostics import Diagnostic, NetcError, Report
from netc.frontends import NetDefinition
from netc.ir.dims import Shape
from netc.ir.graph import Graph, State
from netc.ir.origin import Origin
from netc.ir.shapes import Probe
from netc.layers import layer_classes

DEPENDS_ON_STATE = ("E011", "E012")
"""A bottom without its top, a top given twice: also what a state that nobody means looks like."""


@dataclass
class PhaseNet:
    """One net of a file."""

    state: State
    graph: Graph
    report: Report
    chosen: tuple[bool, ...]
    """For each layer of the file, whether it is in this net."""
    wanted: bool
    """The user or a solver asked for this state; others are only what the file's rules make possible."""
    sound: frozenset[Origin] = field(init=False)
    """The layers that were built."""

    def __post_init__(self) -> None:
        self.sound = frozenset(node.origin for node in self.graph.nodes)

    def lost(self, net: NetDefinition) -> frozenset[str]:
        """Blobs that layers read which are in this net and could not be built: these are used, by nobody knows what."""
        own = (layer for layer, chosen in zip(net.layers, self.chosen) if chosen)
        return frozenset(bottom for layer in own if layer not in self.sound for bottom in layer.bottoms)

    @property
    def name(self) -> str:
        """The net, for a note.

        >>> PhaseNet(State("TRAIN", 0, ("a",)), Graph("", (), {}), Report(), (), False).name
        'the TRAIN net with stage `a`'
        """
        stages = " and ".join(f"`{stage}`" for stage in self.state.stages)
        level = f" at level {self.state.level}" if self.state.level else ""
        return f"the {self.state.phase} net" + (f" with stage {stages}" if stages else "") + level


def runs(
    net: NetDefinition,
    wanted: Iterable[State],
    possible: Iterable[State],
    probe: Probe,
    shapes: Mapping[str, Shape] | None = None,
) -> list[PhaseNet]:
    """A net for each state that chooses other layers than those before it; asked-for ones first."""
    found: dict[tuple[bool, ...], PhaseNet] = {}
    for state, asked in [*((state, True) for state in wanted), *((state, False) for state in possible)]:
        chosen = tuple(_chosen(net, layer, state) for layer in net.layers)
        if chosen not in found:
            graph, report = checked_graph(net, state, probe, shapes)
            found[chosen] = PhaseNet(state, graph, report, chosen, asked)
    return _with_sources(net, list(found.values()))


def _chosen(net: NetDefinition, layer: Origin, state: State) -> bool:
    try:
        return net.included(layer, state)
    except NetcError:
        return True  # so that building reports it


def _with_sources(net: NetDefinition, found: list[PhaseNet]) -> list[PhaseNet]:
    """Without the possible nets that nothing feeds, as the TEST net of a file that is for training only."""
    return [run for run in found if run.wanted or is_fed(net, run.state)] or found


def is_fed(net: NetDefinition, state: State) -> bool:
    """Whether a net has a layer that gives blobs and reads none, of whatever type."""
    sources = (layer for layer in net.layers if layer.tops and not layer.bottoms and not _is_blob(layer))
    return any(_chosen(net, layer, state) for layer in sources)


def _is_blob(layer: Origin) -> bool:
    """Whether the layer's top is a blob that it learns (`Parameter`), which feeds nothing."""
    return any(meaning.top_is_blob for meaning in layer_classes(layer.type))


def findings(
    net: NetDefinition, found: Sequence[PhaseNet], rule: Callable[[PhaseNet], Iterable[Diagnostic]]
) -> list[Diagnostic]:
    """What a rule says of each net, the same fault once, with a note where only some of the nets have it."""
    seen: dict[tuple[object, ...], tuple[Diagnostic, list[PhaseNet]]] = {}
    for run in found:
        told: set[tuple[object, ...]] = set()
        for diagnostic in rule(run):
            key = _place(diagnostic)
            if key in told:  # two faults at one place of one net
                key = (*key, diagnostic.message)
            told.add(key)
            seen.setdefault(key, (diagnostic, []))[1].append(run)
    kept = ((d, having) for d, having in seen.values() if is_meant(net, d, having, found))
    return [_noted(net, d, having, found) for d, having in kept]


def _place(found: Diagnostic) -> tuple[object, ...]:
    if found.span is None:
        return (found.code, found.message)
    return (found.code, found.span.source.name, found.span.start, found.span.end)


def is_meant(net: NetDefinition, found: Diagnostic, having: list[PhaseNet], all_runs: Sequence[PhaseNet]) -> bool:
    """Whether a finding is one: not where its layer is sound in another net that the file may be meant for.

    In a net that was asked for all is. In the plain net of a phase an error that depends on the state is none where
    a stage of the same phase makes the layer sound. What only nets with further stages have is told where no other
    net makes the layer sound, or, of warnings, where every net with the layer has it.
    """
    index = net.layer_of(found)
    if index is None or any(run.wanted for run in having):
        return True
    least = min(len(run.state.stages) for run in all_runs)
    plain = {run.state.phase for run in having if len(run.state.stages) == least}
    if found.severity == "warning":
        return bool(plain) or len(having) == sum(run.chosen[index] for run in all_runs)
    others = [run for run in all_runs if not plain or run.state.phase in plain]
    return found.code not in DEPENDS_ON_STATE or not any(net.layers[index] in run.sound for run in others)


def _noted(net: NetDefinition, found: Diagnostic, having: list[PhaseNet], all_runs: Sequence[PhaseNet]) -> Diagnostic:
    """The finding, with the net's name where the layer stands in other nets too, without this fault."""
    index = net.layer_of(found)
    concerned = [run for run in all_runs if index is None or run.chosen[index]]
    if len(having) >= len(concerned):
        return found
    return replace(found, notes=(*found.notes, f"in {having[0].name}"))
