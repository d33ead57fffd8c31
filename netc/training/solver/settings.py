"""The settings of a solver: read from its file, validated, and modified by options. Never imports torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, NetcError, Report
from netc.frontends.reading import read_solver, unsupported_settings
from netc.ir.fields import Fields
from netc.training.solver import settings_check
from netc.training.solver.netc_options import NAMES as OPTIONS
from netc.training.solver.netc_options import NetcOptions
from netc.training.solver.parameters import EMPTY, SolverParameters

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SolverSettings(SolverParameters):
    """SolverParameters with methods that return modified, validated copies."""

    def with_state(self, level: int | None = None, stages: tuple[str, ...] = ()) -> SolverSettings:
        """Return a copy with another level and additional stages of the train net (`--level` and `--stage`)."""
        if level is None and not stages:
            return self
        values = dict(self.train_state.values)
        if level is not None:
            values["level"] = level
        values["stage"] = (*values.get("stage", ()), *stages)
        return self.with_values(train_state=Fields(values, self.train_state.defaults))

    def with_options(self, **values: Any) -> SolverSettings:
        """Return a copy with other netc options (`NetcOptions`); options with their default value are not set.

        Raises NetcError E603, and TypeError for an unknown name.
        """
        if unknown := values.keys() - set(OPTIONS):
            raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
        empty, default = EMPTY.message("netc_param"), NetcOptions()
        merged = {**self.netc_param.values, **values}
        changed = {name: merged[name] for name in OPTIONS if name in merged and merged[name] != getattr(default, name)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}
        return self.with_values(netc_param=Fields(plain, empty.defaults, locate=self.netc_param.span))

    def with_values(self, **values: Any) -> SolverSettings:
        """Return a copy with other values, also in `fields`. Raises NetcError as `settings_of` does."""
        merged = {**self.fields.values, **values}
        ordered = {name: merged[name] for name in self.fields.defaults if name in merged}
        return settings_of(Fields(ordered, self.fields.defaults, self.fields.message, self.fields.span), self.warnings)


def read_settings(path: str | Path, *, lenient: bool = False) -> SolverSettings:
    """Read the settings in a solver prototxt. Raises NetcError for invalid text and, as `settings_of`, values.

    An unknown field with a name similar to that of another (`weigth_decay`) is an error, W001, unless `lenient`.
    """
    solver = read_solver(path)
    solver.report.raise_errors()
    misspelled = [d for d in solver.report.warnings if d.code == "W001" and d.help]
    if misspelled and not lenient:
        note = "training would continue without it: `--lenient` ignores unknown fields"
        raise NetcError(replace(d, strict=True, notes=(*d.notes, note)) for d in misspelled)
    return settings_of(solver.fields, tuple(solver.report.warnings))


def settings_of(solver: Fields, warnings: tuple[Diagnostic, ...] = ()) -> SolverSettings:
    """Validate a SolverParameter message in the format of Caffe 1.0 and return its settings.

    Its warnings are `warnings`, which reading the file caused, and W602. Raises NetcError with all errors: E008, E106
    and E601 to E604.
    """
    report, values = Report(), dict[str, Any]()
    for name in _NAMES:
        if name in solver:
            try:
                values[name] = _plain(solver[name])
            except NetcError as error:  # an unknown enum value; the other fields are still checked
                report.extend(error.diagnostics)
    if not (solver["test_net"] or solver["test_net_param"] or _tests_common_net(solver)):
        values |= {"test_iter": (), "test_state": ()}
    values["weights"] = tuple(file for text in solver["weights"] for file in text.split(",") if file)
    settings = SolverSettings(**values, fields=solver, warnings=warnings)
    report.extend(unsupported_settings(solver))
    settings_check.check(settings, report)
    report.raise_errors()
    known = {d.message for d in warnings}
    return replace(settings, warnings=(*warnings, *(d for d in report.warnings if d.message not in known)))


def _tests_common_net(solver: Fields) -> bool:
    """Whether a test of the net of both phases is requested: with batches, and with such a net or an interval."""
    return any(solver["test_iter"]) and bool("net" in solver or "net_param" in solver or solver["test_interval"])


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_NAMES = [f.name for f in dataclasses.fields(SolverSettings) if f.name not in ("fields", "weights", "warnings")]
