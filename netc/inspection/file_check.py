"""check: reports every error of a net, or of a solver and its nets, in one run."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING

from netc.compiler import state_choice
from netc.diagnostics import Diagnostic, NetcError, Source, in_order
from netc.frontends import PHASES, NetDefinition, SolverDefinition, StateChoice, read
from netc.inspection.name_warnings import unused_shapes
from netc.inspection.net_check import check_net
from netc.inspection.plan_check import check_plan, plan_in
from netc.inspection.solver_check import check_solver

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from netc.ir.dims import Shape

STRICT = frozenset(("W001", "W002", "W003", "W020", "W021"))
"""Warnings that `strict` turns into errors: names that are not part of BVLC's schema, and missing files."""

UNCHECKABLE = ("E005", "E033")
"""Errors after which a file is not checked any further: nested too deeply, or a template that is not filled."""


def check(
    path: str | Path | Source,
    *,
    phase: str | None = None,
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
    shapes: Mapping[str, Shape] | None = None,
    values: Mapping[str, str] | None = None,
    dialect: str | None = None,
    strict: bool = False,
    ignore: Collection[str] = (),
) -> list[Diagnostic]:
    """Return all diagnostics of a net, of a solver and its nets, or of a Caffe2 plan, in the order of the files.

    Both phases of a net are checked with every stage and level that its rules name; if `phase`, `stages` or `level` is
    passed, only that state, in both phases without `phase`; in a solver, `stages` and `level` change the state of the
    train net, as in `netc train`. `shapes` are the shapes of blobs that otherwise depend on data. `values` fill the
    placeholders of a template. `ignore` contains the codes of warnings to drop. `dialect` is the fork of Caffe that the
    nets are for, if their content does not identify it. With `strict`, names must be part of BVLC's schema and files
    must exist. `autocrop` computes the offsets of Crop layers as in `load`, in all nets.
    Never raises for the content of a file; a file that cannot be read results in a diagnostic too.
    """
    collecting = gc.isenabled()
    gc.disable()  # trees and graphs are kept until the end, so repeated collections would only cost time
    try:
        definition = read(path, values, strict, dialect)
        found = list(definition.report.diagnostics)
        found += _check(definition, _choices(phase, level, stages, autocrop), autocrop, shapes, strict, dialect)
    except NetcError as error:
        plan = plan_in(path)
        found = list(error.diagnostics) if plan is None else check_plan(plan, shapes)
    finally:
        if collecting:
            gc.enable()
    needed = {d.span for d in found if d.code == "E008"}  # these have a W003 at the same position
    found = [d for d in found if d.code != "W003" or d.span not in needed]
    wanted = (d for d in found if d.code not in ignore or d.severity == "error")
    return in_order(replace(d, strict=True) if strict and d.code in STRICT else d for d in wanted)


def _choices(phase: str | None, level: int | None, stages: Sequence[str], autocrop: bool) -> list[StateChoice]:
    """The requested states; none for all that the rules of the file name."""
    if phase is not None:
        return [state_choice(phase, level, stages, autocrop)]
    return [StateChoice(one, level, tuple(stages), autocrop) for one in PHASES if level is not None or stages]


def _check(
    definition: NetDefinition | SolverDefinition,
    choices: Sequence[StateChoice],
    autocrop: bool,
    shapes: Mapping[str, Shape] | None,
    strict: bool,
    dialect: str | None,
) -> list[Diagnostic]:
    if any(d.code in UNCHECKABLE for d in definition.report.diagnostics):
        return []
    unrestricted = StateChoice(autocrop=autocrop)
    if isinstance(definition, SolverDefinition):
        if definition.has_syntax_errors:
            return []
        return check_solver(definition, shapes, strict, dialect, choices[0] if choices else unrestricted)
    states = [choice.of(definition) for choice in choices]
    wanted = states if len(states) == 1 else ()
    possible = states or definition.states(unrestricted.of(definition))
    found = [*check_net(definition, wanted, possible, shapes)[0], *unused_shapes(definition, shapes or {})]
    if definition.has_syntax_errors:  # the missing part would cause spurious warnings
        found = [d for d in found if d.severity == "error"]
    return found
