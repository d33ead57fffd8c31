"""check: reports every error of a net, or of a solver and its nets, in one run."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, NetcError, Source, in_order
from netc.frontends import PHASES, NetDefinition, SolverDefinition, read
from netc.inspection.name_warnings import unused_shapes
from netc.inspection.net_check import check_net
from netc.inspection.solver_check import check_solver
from netc.ir.fields import Fields

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
    level: int = 0,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
    values: Mapping[str, str] | None = None,
    dialect: str | None = None,
    strict: bool = False,
    ignore: Collection[str] = (),
) -> list[Diagnostic]:
    """Return all diagnostics of a net, or of a solver and its nets, in the order of the files.

    Both phases of a net are checked with every stage and level that its rules name; if `stages` or `level` is passed,
    only that state. `shapes` are the shapes of blobs that otherwise depend on data. `values` fill the placeholders of a
    template. `ignore` contains the codes of warnings to drop. `dialect` is the fork of Caffe that the nets are for, if
    their content does not identify it. With `strict`, names must be part of BVLC's schema and files must exist.
    Never raises for the content of a file; a file that cannot be read results in a diagnostic too.
    """
    collecting = gc.isenabled()
    gc.disable()  # trees and graphs are kept until the end, so repeated collections would only cost time
    try:
        definition = read(path, values, strict, dialect)
        found = list(definition.report.diagnostics)
        found += _check(definition, level, tuple(stages), shapes, strict, dialect)
    except NetcError as error:
        found = list(error.diagnostics)
    finally:
        if collecting:
            gc.enable()
    needed = {d.span for d in found if d.code == "E008"}  # these have a W003 at the same position
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
    if any(d.code in UNCHECKABLE for d in definition.report.diagnostics):
        return []
    if isinstance(definition, SolverDefinition):
        if definition.has_syntax_errors:
            return []
        return check_solver(definition, shapes, strict, dialect)
    base = definition.state("TEST", Fields({"level": level, "stage": stages} if level or stages else {}))
    states = [replace(base, phase=phase) for phase in PHASES] if level or stages else definition.states(base)
    found = [*check_net(definition, (), states, shapes)[0], *unused_shapes(definition, shapes or {})]
    if definition.has_syntax_errors:  # the missing part would cause spurious warnings
        found = [d for d in found if d.severity == "error"]
    return found
