"""All checks of one net file: of each of its nets, and of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic
from netc.inspection import dataflow_warnings, name_warnings, training_warnings
from netc.inspection.phase_nets import PhaseNet, findings, phase_nets
from netc.inspection.referenced_files import SourceProbe, check_path
from netc.ir.graph import Graph, State

if TYPE_CHECKING:
    from netc.frontends import NetDefinition
    from netc.ir.dims import Shape

Rule = Callable[[Graph, AbstractSet[str]], Iterable[Diagnostic]]
"""Checks a graph; the set contains the bottoms of layers that are missing from the graph because of an error."""


def check_net(
    net: NetDefinition,
    wanted: Iterable[State],
    possible: Iterable[State],
    shapes: Mapping[str, Shape] | None = None,
) -> tuple[list[Diagnostic], list[PhaseNet]]:
    """Return the diagnostics of a net in these states, and the nets themselves.

    Every `wanted` state must be valid; for `possible` ones, see `phase_nets.is_relevant`. Layers with an error in the
    report of the definition have no further diagnostics.
    """
    probe = SourceProbe()
    nets = phase_nets(net, wanted, possible, probe, shapes)
    found = [] if net.layers or net.report.errors else [Diagnostic("W109", "the net has no layers", net.span)]
    found += [d for path in net.files() for d in check_path(path)]
    found += probe.warnings
    found += findings(net, nets, lambda one: _build_diagnostics(one, net.is_complete))
    for rule in RULES:
        found += findings(net, nets, _applied(net, rule, valid=not net.report.errors))
    found += name_warnings.lone_names(net)
    found += name_warnings.one_sided(nets)
    return found, nets


RULES: tuple[Rule, ...] = (*dataflow_warnings.RULES, *training_warnings.RULES)
"""The checks of each graph of a file."""


OF_VALID_NETS: tuple[Rule, ...] = (dataflow_warnings.unused_tops,)
"""Checks of nets without errors only: a misspelled bottom leaves a top unused."""


def _build_diagnostics(net: PhaseNet, is_complete: bool) -> list[Diagnostic]:
    """The diagnostics of building a net; if the file was not read completely, missing bottoms are ignored."""
    return [_large_batch(d) for d in net.report.diagnostics if is_complete or d.code != "E011"]


def _large_batch(found: Diagnostic) -> Diagnostic:
    """W119 in place of E104 for a batch that is too large for one device: several devices may divide it."""
    if (found.code, found.field) != ("E104", "batch_size"):
        return found
    return replace(
        found, code="W119", notes=(*found.notes, "an error in training unless several GPUs divide the batch")
    )


def _applied(net: NetDefinition, rule: Rule, valid: bool) -> Callable[[PhaseNet], Iterable[Diagnostic]]:
    def check(one: PhaseNet) -> Iterable[Diagnostic]:
        if rule in OF_VALID_NETS and not (valid and not one.report.errors):
            return ()
        return rule(one.graph, one.lost(net))

    return check
