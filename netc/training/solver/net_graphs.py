"""The nets of a solver: their files or messages, and their states (`solver.cpp`, InitTrainNet and InitTestNets)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from netc.compiler import Prepare, graph_of, record_shapes, unprepared
from netc.diagnostics import NetcError
from netc.frontends import NetDefinition, read_net
from netc.frontends.reading import embedded_net
from netc.ir.fields import Fields
from netc.paths import find
from netc.training.log.events import Listener, LogNote, WarningIssued
from netc.training.recipes.fine_tuning import freeze

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.graph import Graph, Phase
    from netc.training.solver.settings import SolverSettings


class SolverNets:
    """Builds the graphs of a solver's nets, with data layers and shapes; reads each file once."""

    def __init__(self, settings: SolverSettings, listener: Listener, prepare: Prepare = unprepared) -> None:
        self.settings, self.listener, self.prepare = settings, listener, prepare
        self._files: dict[str, NetDefinition] = {}

    def train(self) -> Graph:
        """Build the train net. Raises NetcError with all its errors, and E601 if there is no train net."""
        settings = self.settings
        for name, line in (("train_net_param", 85), ("train_net", 90), ("net_param", 96), ("net", 102)):
            if net := getattr(settings, name):
                text = f"from {name} file: {net}" if isinstance(net, str) else f"specified in {name}."
                self.listener(LogNote(f"solver.cpp:{line}", f"Creating training net {text}"))
                return freeze(self._graph(net, "TRAIN", settings.train_state), settings.options.freeze)
        raise NetcError("the solver does not specify a train net", code="E601", span=settings.fields.span())

    def tests(self) -> Iterator[Graph]:
        """Yield the test nets; each is logged before it is built. Raises NetcError with all errors of a net."""
        settings = self.settings
        for index, (name, net) in enumerate(self._test_nets()):
            text = f"{name} file: {net}" if isinstance(net, str) else name
            self.listener(LogNote("solver.cpp:190", f"Creating test net (#{index}) specified by {text}"))
            yield self._graph(net, "TEST", settings.test_state[index] if settings.test_state else Fields({}))

    def _test_nets(self) -> list[tuple[str, str | Fields]]:
        """The field and value of each test net: separate nets first, then the common one for the others."""
        settings = self.settings
        own: list[tuple[str, str | Fields]] = [("test_net_param", net) for net in settings.test_net_param]
        own += [("test_net", net) for net in settings.test_net]
        common = ("net_param", settings.net_param) if settings.net_param else ("net", settings.net)
        return own + [common] * (len(settings.test_iter) - len(own))

    def _graph(self, net: str | Fields, phase: Phase, own: Fields) -> Graph:
        definition = self._read(net) if isinstance(net, str) else embedded_net(net)
        probe = partial(record_shapes, skip_bad=self.settings.options.skip_bad)
        state = replace(definition.state(phase, own), autocrop=self.settings.options.autocrop)
        return graph_of(definition, state, probe, prepare=self.prepare)

    def _read(self, name: str) -> NetDefinition:
        if name not in self._files:
            path, note = find(name, self.settings.file)
            net = read_net(path)
            net.report.raise_errors()
            if note:
                self.listener(WarningIssued(note))
            for warning in net.report.warnings:
                self.listener(WarningIssued(warning.render(), rendered=True))
            self._files[name] = net
        return self._files[name]
