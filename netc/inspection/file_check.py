"""check: every fault of a net, or of a solver and its nets, in one run."""

from __future__ import annotations

import gc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from netc.diagnostics import Diagnostic, NetcError, Source, in_order
from netc.frontends import PHASES, NetDefinition, SolverDefinition, read
from netc.inspection.name_warnings import unused_shapes
from netc.inspection.net_check import check_net
from netc.inspection.solver_check import check_solver
from netc.ir.dims import Shape
from netc.ir.fields import Fields

STRICT = frozenset(("W001", "W002", "W003", "W020", "W021"))
"""Warnings that `strict` makes errors: what BVLC's schema does not have, and what is named and not here."""

NO_NET = ("E005", "E033")
"""A file that is damaged or hostile, and a template that nothing fills: no net of which more could be said."""


def check(
    path: str | Path | Source,
    *,
    level: int = 0,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
    values: Mapping[str, str] | None = None,
    dialect: str | None = None,
    strict: bool = False,
    ignore: Collection[str] = (),
) -> list[Diagnostic]:
    """Everything that is found wrong with a net, or with a solver and its nets, in the order of the files.

    Both phases of a net are looked at, and every stage and level that its rules name; where `stages` or `level` are
    given, only that state. `shapes` gives the shapes of blobs that only data would tell, `values` fill the places of a
    template. `ignore` holds codes of warnings that are not wanted. `dialect` names the fork of Caffe that the nets are
    for, where their content does not tell. With `strict` only BVLC's schema counts, and files that are named must be
    there.
    Never raises for what a file says; a file that cannot be read is a finding too.
    """
    collecting = gc.isenabled()
    gc.disable()  # trees and graphs are kept to the end: the collector would walk them again and again, in vain
    try:
        definition = read(path, values, strict, dialect)
        found = list(definition.report.diagnostics)
        found += _check(definition, level, tuple(stages), shapes, strict, dialect)
    except NetcError as error:
        found = list(error.diagnostics)
    finally:
        if collecting:
            gc.enable()
    needed = {d.span for d in found if d.code == "E008"}  # the warning told of the same word
    found = [d for d in found if d.code != "W003" or d.span not in needed]
    wanted = (d for d in found if d.code not in ignore or d.severity == "error")
    return in_order(replace(d, strict=True) if strict and d.code in STRICT else d for d in wanted)


def _check(
    definition: NetDefinition | SolverDefinition,
    level: int,
    stages: tuple[str, ...],
    shapes: Mapping[str, Shape] | None,
    strict: bool,
    dialect: str | None,
) -> list[Diagnostic]:
    if any(d.code in NO_NET for d in definition.report.diagnostics):
        return []
    if isinstance(definition, SolverDefinition):
        if definition.has_syntax_errors:
            return []
        return check_solver(definition, shapes, strict, dialect)
    base = definition.state("TEST", Fields({"level": level, "stage": stages} if level or stages else {}))
    asked = [replace(base, phase=phase) for phase in PHASES] if level or stages else definition.states(base)
    found = [*check_net(definition, (), asked, shapes)[0], *unused_shapes(definition, shapes or {})]
    if definition.has_syntax_errors:  # what is missing gives rise to warnings that are none
        found = [d for d in found if d.severity == "error"]
    return found
