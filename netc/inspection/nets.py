"""One net file: everything that is asked of each of its nets, and of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from netc.diagnostics import Diagnostic
from netc.inspection import learning, naming, wiring
from netc.inspection.files import SourceProbe, check_path, named
from netc.inspection.runs import Run, findings, runs
from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.graph import Graph, State


def check_net(
    net: Fields, wanted: Iterable[State], possible: Iterable[State], shapes: Mapping[str, Shape] | None = None
) -> tuple[list[Diagnostic], list[Run]]:
    """What is wrong with a net in these states, and the nets themselves.

    The states `wanted` must be sound, each; of those that are only `possible`, see `runs.findings`.
    """
    probe = SourceProbe()
    found = runs(net, wanted, possible, probe, shapes)
    told = [d for path in named(net) for d in check_path(path)]
    told += probe.warnings
    told += findings(net, found, lambda run: run.report.diagnostics)
    for rule in RULES:
        told += findings(net, found, _of_graph(rule))
    told += naming.lone_names(net)
    told += naming.one_sided(found)
    return told, found


RULES: tuple[Callable[[Graph], Iterable[Diagnostic]], ...] = (*wiring.RULES, *learning.RULES)
"""What is asked of each graph of a file."""


def _of_graph(rule: Callable[[Graph], Iterable[Diagnostic]]) -> Callable[[Run], Iterable[Diagnostic]]:
    return lambda run: rule(run.graph)
