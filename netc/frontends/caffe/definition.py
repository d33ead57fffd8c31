"""Caffe's definitions: NetParameter and SolverParameter."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from netc.frontends.caffe.build import build
from netc.frontends.caffe.origin import LayerOrigin
from netc.frontends.caffe.phase import included, merged, reserved, rules, states
from netc.frontends.definition import NetDefinition, SolverDefinition
from netc.ir.origin import FileReference, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from netc.diagnostics import Report, Source, Span
    from netc.frontends.graph_report import GraphReport
    from netc.ir.fields import Fields
    from netc.ir.graph import Graph, Phase, State


class CaffeNet(NetDefinition):
    """A NetParameter in the format of Caffe 1.0."""

    def __init__(
        self,
        fields: Fields,
        report: Report,
        source: Source,
        *,
        dialect: str | None = None,
        weights_file: Path | None = None,
        blob_counts: Mapping[str, int] | None = None,
    ) -> None:
        self.fields, self.report, self.source = fields, report, source
        self.dialect, self.weights_file = dialect, weights_file
        self.blob_counts = blob_counts or {}
        """The number of blobs that `weights_file` has for each layer, by name."""

    @property
    def span(self) -> Span | None:
        """The whole file, or the message of a net that is embedded in a solver."""
        return self.fields.span()

    @cached_property
    def layers(self) -> tuple[LayerOrigin, ...]:  # type: ignore[override]
        """The layers in file order."""
        return tuple(LayerOrigin(layer) for layer in self.fields["layer"])

    def state(self, phase: Phase, *changes: Fields) -> State:
        """Merge the NetState of the file with others (`solver.cpp`, InitTrainNet)."""
        return merged(phase, self.fields.message("state"), *changes)

    def states(self, base: State) -> Iterator[State]:
        """Yield every state that the rules of the layers distinguish."""
        return states(self.fields, base)

    def included(self, layer: Origin, state: State) -> bool:
        """Whether the rules of a layer include it in a state (`net.cpp`, FilterNet). Raises NetcError E013."""
        return isinstance(layer, LayerOrigin) and included(layer.layer, state)

    def graph(self, state: State) -> tuple[Graph, GraphReport]:
        """Build the graph of a state, without shapes."""
        return build(self.fields, state, self.faulty, self.dialect, self.blob_counts)

    def mentions(self, kind: str) -> Iterator[tuple[str, Span | None]]:
        """Yield the stages of `include` and `exclude` rules, the phases of these, or the names of `param` entries."""
        if kind == "phase":
            yield from ((phase, rule.span("phase")) for phase, rule in reserved(self.fields))
        elif kind == "stage":
            for rule in rules(self.fields):
                for field in ("stage", "not_stage"):
                    yield from ((name, rule.span(field, index)) for index, name in enumerate(rule.get(field, ())))
        else:
            params = (param for layer in self.fields["layer"] for param in layer.get("param", ()))
            yield from ((param["name"], param.span("name")) for param in params if param.get("name", ""))


FILES = {"net": "net", "train_net": "train net", "test_net": "test net", "weights": "weights file"}
"""Fields of a solver that contain paths."""


class CaffeSolver(SolverDefinition):
    """A SolverParameter."""

    def __init__(self, fields: Fields, report: Report, source: Source) -> None:
        self.fields, self.report, self.source = fields, report, source

    def files(self) -> Iterator[FileReference]:
        """Yield the net and weights files of the solver."""
        for field, what in FILES.items():
            value = self.fields.get(field, "")
            for index, path in enumerate((value,) if isinstance(value, str) else value):
                if path:
                    yield FileReference(path, what, self.fields.span(field, index))
