"""Checks a solver together with its nets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from netc import paths
from netc.diagnostics import Diagnostic, NetcError, Span
from netc.frontends import TEST_STATE, NetDefinition, SolverDefinition, StateChoice, read_net
from netc.frontends.reading import embedded_net
from netc.inspection.name_warnings import compare_learned, unknown_stages
from netc.inspection.net_check import check_net
from netc.inspection.referenced_files import check_path, file_exists
from netc.ir.fields import Fields
from netc.ir.origin import FileReference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from netc.inspection.phase_nets import PhaseNet
    from netc.ir.dims import Shape
    from netc.ir.graph import Phase, State


class NetUse(NamedTuple):
    """A net that the solver creates."""

    net: NetDefinition
    state: State


def check_solver(
    definition: SolverDefinition,
    shapes: Mapping[str, Shape] | None,
    strict: bool = False,
    dialect: str | None = None,
    choice: StateChoice = TEST_STATE,
) -> list[Diagnostic]:
    """Return the diagnostics of a solver's settings, of each net that it creates, and of their combination.

    The level and the stages of `choice` change the state of the train net; its `autocrop` is that of all nets.
    """
    solver = definition.fields
    found = [*_settings(definition), *(d for file in definition.files() for d in check_path(file)), *_prefix(solver)]
    reader = _Reader(solver, strict, dialect)
    autocrop = choice.autocrop or solver.message("netc_param").get("autocrop", False)
    uses = [use._replace(state=replace(use.state, autocrop=autocrop)) for use in _uses(solver, reader, choice)]
    found += reader.found
    found += _nets(uses, shapes)
    if not reader.missing:
        found += unknown_stages(list(_stages(solver)), [use.net for use in uses])
    return found


def _settings(definition: SolverDefinition) -> list[Diagnostic]:
    from netc.training.solver.settings import settings_of
    from netc.training.solver.settings_check import NET_FIELDS, warnings_of

    try:
        settings = settings_of(definition.fields)
        return [*settings.warnings, *warnings_of(settings)]
    except NetcError as error:
        unread = any(f"`{name}`" in d.message for d in definition.report.errors for name in NET_FIELDS)
        return [d for d in error.diagnostics if not (unread and d.code == "E601")]


def _prefix(solver: Fields) -> Iterator[Diagnostic]:
    """Yield W021 if the directory of snapshots is missing, and E605 if they cannot be written there."""
    from netc.training.solver.snapshot_prefix import is_missing, prefix_of, prefix_problem

    prefix, span = solver.get("snapshot_prefix", ""), solver.span("snapshot_prefix")
    if not prefix:
        return
    own = solver.span()
    problem = prefix_problem(prefix_of(prefix, own.source.name if own else None), solver["max_iter"], span)
    if problem:
        yield replace(problem, code="W021") if is_missing(problem) else problem
    yield from check_path(FileReference(prefix, "", span))


class _Reader:
    """Reads each net file once."""

    def __init__(self, solver: Fields, strict: bool, dialect: str | None) -> None:
        own = solver.span()
        self.dialect = dialect
        self.near, self.strict = own.source.name if own else None, strict
        self.files: dict[str, NetDefinition | None] = {}
        self.messages: dict[int, NetDefinition] = {}
        self.found: list[Diagnostic] = []
        self.missing = False

    def read(self, name: str, span: Span | None) -> NetDefinition | None:
        """Return the net in a file, None if the file does not exist or cannot be read."""
        if name not in self.files:
            self.files[name] = self._read(name) if file_exists(name, span) else None
        self.missing = self.missing or self.files[name] is None
        return self.files[name]

    def embedded(self, fields: Fields) -> NetDefinition:
        """Return a net that is embedded in the solver."""
        return self.messages.setdefault(id(fields), embedded_net(fields, self.dialect))

    def _read(self, name: str) -> NetDefinition | None:
        try:
            net = read_net(paths.find(name, self.near)[0], strict=self.strict, dialect=self.dialect)
        except NetcError as error:
            self.found += error.diagnostics
            return None
        self.found += net.report.diagnostics
        if net.has_syntax_errors:
            return None
        return net


def _uses(solver: Fields, reader: _Reader, choice: StateChoice) -> Iterator[NetUse]:
    """Yield the nets of a solver: the train net, separate test nets, then test nets of the common file."""
    for field in ("train_net_param", "train_net", "net_param", "net"):
        if field in solver:
            yield from _use(solver, reader, field, 0, "TRAIN", solver.message("train_state"), _changes(choice))
            break
    own = [(field, i) for field in ("test_net_param", "test_net") for i in range(len(solver.get(field, ())))]
    common = [("net_param" if "net_param" in solver else "net", 0)] * (
        len(solver["test_iter"]) * any(solver["test_iter"]) - len(own)
    )
    test_states = list(solver["test_state"])
    for place, (field, index) in enumerate([*own, *common]):
        if field in solver:
            state = test_states[place] if place < len(test_states) else Fields({})
            yield from _use(solver, reader, field, index, "TEST", state)


def _changes(choice: StateChoice) -> Fields:
    """The changes of `choice` to the state of the train net (`--level` and `--stage`)."""
    level = {} if choice.level is None else {"level": choice.level}
    return Fields({"stage": choice.stages, **level})


def _use(solver: Fields, reader: _Reader, field: str, index: int, phase: Phase, *states: Fields) -> Iterator[NetUse]:
    value = solver[field]
    one = value[index] if isinstance(value, (list, tuple)) else value
    net = reader.read(one, solver.span(field, index)) if isinstance(one, str) else reader.embedded(one)
    if net is not None:
        yield NetUse(net, net.state(phase, *states))


def _nets(uses: list[NetUse], shapes: Mapping[str, Shape] | None) -> list[Diagnostic]:
    """The diagnostics of each net, with E204 and W106 if a train and a test net in separate files do not match."""
    found: list[Diagnostic] = []
    built: dict[int, list[PhaseNet]] = {}
    for net in {id(use.net): use.net for use in uses}.values():
        mine = [use.state for use in uses if use.net is net]
        possible = net.states(replace(net.state("TEST"), autocrop=mine[0].autocrop))
        diagnostics, built[id(net)] = check_net(net, mine, possible, shapes)
        found += diagnostics
    if len(built) > 1:
        train, test = uses[0], next((use for use in uses if use.net is not uses[0].net), uses[0])
        ours, theirs = (built[id(use.net)][0] for use in (train, test))
        if train.state.phase == "TRAIN" and not ours.report.errors and not theirs.report.errors:
            found += compare_learned(ours.graph, theirs.graph)
    return found


def _stages(solver: Fields) -> Iterator[tuple[str, Span | None]]:
    """Yield every stage of the solver's states."""
    for state in (solver.message("train_state"), *solver["test_state"]):
        for index, name in enumerate(state.get("stage", ())):
            yield name, state.span("stage", index)
