"""The nets of a solver: which file or message, under which state (`solver.cpp`, InitTrainNet and InitTestNets)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from netc.compiler import Prepare, graph_of, record_shapes, unprepared
from netc.diagnostics import NetcError
from netc.frontends import NetDefinition, read_net
from netc.frontends.reading import embedded_net
from netc.ir.fields import Fields
from netc.ir.graph import Graph, Phase
from netc.paths import find
from netc.training.log.events import Listener, LogNote, WarningIssued
from netc.training.recipes.fine_tuning import freeze
from netc.training.solver.settings import SolverSettings


class SolverNets:
    """Builds the graphs of a solver's nets, data layers and shapes included; reads each file once."""

    def __init__(self, settings: SolverSettings, listener: Listener, prepare: Prepare = unprepared) -> None:
        self.settings, self.listener, self.prepare = settings, listener, prepare
        self._files: dict[str, NetDefinition] = {}

    def train(self) -> Graph:
        """The train net. Raises NetcError with all its errors, E601 where there is none."""
        settings = self.settings
        for name, line in (("train_net_param", 85), ("train_net", 90), ("net_param", 96), ("net", 102)):
            if given := getattr(settings, name):
                text = f"from {name} file: {given}" if isinstance(given, str) else f"specified in {name}."
                self.listener(LogNote(f"solver.cpp:{line}", f"Creating training net {text}"))
                return freeze(self._graph(given, "TRAIN", settings.train_state), settings.options.freeze)
        raise NetcError("the solver does not name a train net", code="E601", span=settings.fields.span())

    def tests(self) -> Iterator[Graph]:
        """Yield the test nets; each is logged before it is built. Raises NetcError with all errors of a net."""
        settings = self.settings
        for index, (name, given) in enumerate(self._test_nets()):
            text = f"{name} file: {given}" if isinstance(given, str) else name
            self.listener(LogNote("solver.cpp:190", f"Creating test net (#{index}) specified by {text}"))
            yield self._graph(given, "TEST", settings.test_state[index] if settings.test_state else Fields({}))

    def _test_nets(self) -> list[tuple[str, str | Fields]]:
        """Name of the field, and what it holds: nets of their own first, then as many of the common one as are left."""
        settings = self.settings
        own: list[tuple[str, str | Fields]] = [("test_net_param", given) for given in settings.test_net_param]
        own += [("test_net", given) for given in settings.test_net]
        common = ("net_param", settings.net_param) if settings.net_param else ("net", settings.net)
        return own + [common] * (len(settings.test_iter) - len(own))

    def _graph(self, given: str | Fields, phase: Phase, own: Fields) -> Graph:
        net = self._read(given) if isinstance(given, str) else embedded_net(given)
        probe = partial(record_shapes, skip_bad=self.settings.options.skip_bad)
        return graph_of(net, net.state(phase, own), probe, prepare=self.prepare)

    def _read(self, name: str) -> NetDefinition:
        if name not in self._files:
            path, note = find(name, self.settings.file)
            net = read_net(path)
            net.report.raise_errors()
            for text in [note] * bool(note) + [warning.render() for warning in net.report.warnings]:
                self.listener(WarningIssued(str(text)))
            self._files[name] = net
        return self._files[name]
