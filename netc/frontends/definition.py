"""A definition: what a file says, whatever its format. Front ends derive their own.

    NetDefinition       its layers, the nets that it can make (states), the graph of a state, its weights
    SolverDefinition    the settings of a solver
        .report         what was found when the file was read: errors too, so that an editor has tree and findings
        .source         the text
        .files()        the files that it names

Nothing but a file that cannot be opened raises; a caller that needs a sound file asks `report.raise_errors()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import Diagnostic, Report, Source, Span
from netc.frontends.graph_report import GraphReport
from netc.ir.fields import Fields
from netc.ir.graph import Graph, Phase, State
from netc.ir.origin import FileReference, Origin

if TYPE_CHECKING:
    from netc.weights import Weights

PHASES: tuple[Phase, ...] = ("TRAIN", "TEST")


class Definition(ABC):
    """What a file says."""

    kind: ClassVar[str]
    """`net` or `solver`."""
    report: Report
    """What was found when the file was read."""
    source: Source
    """The text, or for a binary file the text that says the same."""
    has_syntax_errors: bool = False
    """Whether only a part of the text was read: it is broken, or a template that is not filled."""

    @property
    @abstractmethod
    def span(self) -> Span | None:
        """Where the definition stands: the whole file, or a part of it."""

    @abstractmethod
    def files(self) -> Iterator[FileReference]:
        """The files that the definition names."""


class NetDefinition(Definition):
    """A net, for every phase and stage that the file distinguishes."""

    kind = "net"
    dialect: str | None = None
    """The fork of Caffe that the file is for, where the user or the file says so."""
    weights_file: Path | None = None
    """The file with the weights, where the net stands in one."""
    layers: Sequence[Origin]
    """The layers in the order of the file."""

    @abstractmethod
    def state(self, phase: Phase, *changes: Fields) -> State:
        """The state that the file itself asks for, in a phase, with changes: `level`, `stage` and `phase`."""

    @abstractmethod
    def states(self, base: State) -> Iterator[State]:
        """Every state that the file distinguishes, from `base` on, both phases first."""

    @abstractmethod
    def included(self, layer: Origin, state: State) -> bool:
        """Whether a layer belongs to the net of a state. Raises NetcError E013 for contradictory rules."""

    @abstractmethod
    def graph(self, state: State) -> tuple[Graph, GraphReport]:
        """The graph of a state, without shapes, and what is wrong with it.

        Nothing is said about layers with an error in `report`, nor about layers that depend on them.
        """

    @abstractmethod
    def mentions(self, kind: str) -> Iterator[tuple[str, Span | None]]:
        """Each mention of a `stage` in a rule, or of a shared `parameter`."""

    @cached_property
    def weights(self) -> Weights | None:
        """The weights that the file holds beside the net, None without any. Raises NetcError E401 to E406."""
        if self.weights_file is None:
            return None
        from netc.weights import read

        return read(self.weights_file)

    def files(self) -> Iterator[FileReference]:
        """The files that its layers name."""
        return (file for layer in self.layers for file in layer.files())

    @cached_property
    def _places(self) -> list[tuple[int, int, int]]:
        spans = ((layer.span(), index) for index, layer in enumerate(self.layers))
        return sorted((span.start, span.end, index) for span, index in spans if span)

    def layer_of(self, found: Diagnostic) -> int | None:
        """The index of the layer that a finding is about, by its place."""
        if found.span is None:
            return None
        at = bisect_right(self._places, (found.span.start, float("inf"), 0)) - 1
        return self._places[at][2] if at >= 0 and found.span.start < self._places[at][1] else None

    @cached_property
    def faulty(self) -> frozenset[int]:
        """The indices of the layers with an error in `report`."""
        return frozenset(index for d in self.report.errors if (index := self.layer_of(d)) is not None)

    @cached_property
    def is_complete(self) -> bool:
        """Whether no layer, bottom or top is missing: every error in `report` is in a layer, none is of the syntax."""
        return not self.has_syntax_errors and all(self.layer_of(d) is not None for d in self.report.errors)


class SolverDefinition(Definition):
    """The settings of a solver."""

    kind = "solver"
    fields: Fields
    """The settings that are set, with their places and the defaults of the others."""

    @property
    def span(self) -> Span | None:
        """Where the settings stand."""
        return self.fields.span()
