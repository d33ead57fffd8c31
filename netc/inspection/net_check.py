"""One net file: everything that is asked of each of its nets, and of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from netc.diagnostics import Diagnostic
from netc.frontends import NetDefinition
from netc.inspection import dataflow_warnings as wiring
from netc.inspection import name_warnings as naming
from netc.inspection import training_warnings as learning
from netc.inspection.phase_nets import PhaseNet, findings, runs
from netc.inspection.referenced_files import SourceProbe, check_path
from netc.ir.dims import Shape
from netc.ir.graph import Graph, State

Rule = Callable[[Graph, AbstractSet[str]], Iterable[Diagnostic]]
"""What is asked of a graph; the set holds blobs that layers read which are not in the graph because of a fault."""


def check_net(
    net: NetDefinition,
    wanted: Iterable[State],
    possible: Iterable[State],
    shapes: Mapping[str, Shape] | None = None,
) -> tuple[list[Diagnostic], list[PhaseNet]]:
    """What is wrong with a net in these states, and the nets themselves.

    The states `wanted` must be sound, each; of those that are only `possible`, see `phase_nets.is_meant`. Nothing more
    is said of layers with an error in the report of the definition.
    """
    probe = SourceProbe()
    found = runs(net, wanted, possible, probe, shapes)
    told = [] if net.layers else [Diagnostic("W109", "the net has no layers", net.span)]
    told += [d for path in net.files() for d in check_path(path)]
    told += probe.warnings
    told += findings(net, found, lambda run: _built(run, net.is_complete))
    for rule in RULES:
        told += findings(net, found, _on(net, rule, sound=not net.report.errors))
    told += naming.lone_names(net)
    told += naming.one_sided(found)
    return told, found


RULES: tuple[Rule, ...] = (*wiring.RULES, *learning.RULES)
"""What is asked of each graph of a file."""


OF_SOUND_NETS: tuple[Rule, ...] = (wiring.unused_tops,)
"""What is asked only of nets without an error: a bottom that is misspelt leaves a top unused."""


def _built(run: PhaseNet, read_whole: bool) -> list[Diagnostic]:
    """What was found in building a net; a file that was not read as a whole may have held what its bottoms name."""
    return [d for d in run.report.diagnostics if read_whole or d.code != "E011"]


def _on(net: NetDefinition, rule: Rule, sound: bool) -> Callable[[PhaseNet], Iterable[Diagnostic]]:
    def asked(run: PhaseNet) -> Iterable[Diagnostic]:
        if rule in OF_SOUND_NETS and not (sound and not run.report.errors):
            return ()
        return rule(run.graph, run.lost(net))

    return asked
