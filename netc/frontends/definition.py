"""A definition: the content of a file, independent of its format. Each front end has its own subclasses.

    NetDefinition       layers, states, the graph of a state, weights
    PlanDefinition      nets, and the order in which they run
    SolverDefinition    the settings of a solver
        .report         the diagnostics of reading the file, including errors, so that an editor has both
        .source         the text
        .files()        the files that it refers to

Reading raises only for a file that cannot be opened; a caller that needs a valid file calls `report.raise_errors()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from netc.diagnostics import Diagnostic, Report, Source, Span
    from netc.frontends.graph_report import GraphReport
    from netc.ir.fields import Fields
    from netc.ir.graph import Graph, Phase, State
    from netc.ir.origin import FileReference, Origin
    from netc.weights import StateDict, Weights

PHASES: tuple[Phase, ...] = ("TRAIN", "TEST")


@dataclass(frozen=True)
class OwnGradients:
    """The gradients that a net computes itself, and that autograd computes instead (Caffe2's training nets)."""

    starts: Mapping[str, float]
    """The losses: the blobs where the gradients start, with the gradient of each of their elements."""
    blobs: Mapping[str, str]
    """The names of the gradients, and of which blob each is."""
    read: tuple[str, ...]
    """The gradients that the rest of the net reads, as inputs."""


class Definition(ABC):
    """The content of a file."""

    kind: ClassVar[str]
    """`net`, `plan` or `solver`."""
    report: Report
    """The diagnostics of reading the file."""
    source: Source
    """The text, or an equivalent text for a binary file."""
    has_syntax_errors: bool = False
    """Whether only a part of the text was read, because of syntax errors or unfilled placeholders."""

    @property
    @abstractmethod
    def span(self) -> Span | None:
        """The position of the definition: the whole file, or a part of it."""

    @abstractmethod
    def files(self) -> Iterator[FileReference]:
        """Yield the files that the definition refers to."""


class NetDefinition(Definition):
    """A net, for every phase and stage that the file distinguishes."""

    kind = "net"
    dialect: str | None = None
    """The fork of Caffe that the file is for, if the user or the file specifies it."""
    fills_weights: ClassVar[bool] = False
    """Whether nets of this format fill weights of others when they run (Caffe2's init nets)."""
    scope: str = ""
    """A prefix that was removed from the names of blobs, and that a weights file may still have."""
    weights_file: Path | None = None
    """The weights file that contains the net, if any."""
    init_net: NetDefinition | None = None
    """The net in the same file that fills the weights of this one (Caffe2's MetaNetDef), if any."""
    blob_counts: Mapping[str, int] = MappingProxyType({})
    """The number of blobs that a weights file has for each layer, by name, as far as it is known."""
    layers: Sequence[Origin]
    """The layers in file order."""

    @abstractmethod
    def state(self, phase: Phase, *changes: Fields) -> State:
        """Return the state that the file specifies for a phase, with changes to `level`, `stage` and `phase`."""

    @abstractmethod
    def states(self, base: State) -> Iterator[State]:
        """Yield every state that the file distinguishes, starting with both phases of `base`."""

    @abstractmethod
    def included(self, layer: Origin, state: State) -> bool:
        """Whether a layer belongs to the net of a state. Raises NetcError E013 for contradictory rules."""

    @abstractmethod
    def graph(self, state: State) -> tuple[Graph, GraphReport]:
        """Build the graph of a state, without shapes; return it with its diagnostics.

        There are no diagnostics for layers with an error in `report` and for layers that depend on them.
        """

    @property
    def own_gradients(self) -> OwnGradients | None:
        """The gradients that the net computes itself; None for a net that computes none."""
        return None

    @abstractmethod
    def mentions(self, kind: str) -> Iterator[tuple[str, Span | None]]:
        """Yield each occurrence of a `stage` or a `phase` in a rule, or of a shared `parameter`."""

    def describe_weights(self, files: Sequence[Weights | StateDict]) -> None:
        """Take from weights files what tells meanings of layers apart, before the graph is built."""
        from netc.weights.blobs import blob_counts  # imports NumPy, which checking a file does without

        self.blob_counts = {**blob_counts(files), **self.blob_counts}

    @cached_property
    def weights(self) -> Weights | StateDict | None:
        """The weights in the file that contains the net, None if it has none. Raises NetcError E401 to E406."""
        if self.weights_file is None:
            return None
        from netc.weights import read_any

        return read_any(self.weights_file)

    @property
    def inputs(self) -> frozenset[str]:
        """The blobs whose shapes may be given: tops of layers without bottoms, and blobs that the caller feeds."""
        return frozenset(top for layer in self.layers if not layer.bottoms for top in layer.tops)

    def files(self) -> Iterator[FileReference]:
        """Yield the files that its layers refer to."""
        return (file for layer in self.layers for file in layer.files())

    @cached_property
    def _places(self) -> list[tuple[int, int, int]]:
        spans = ((layer.span(), index) for index, layer in enumerate(self.layers))
        return sorted((span.start, span.end, index) for span, index in spans if span)

    def layer_of(self, found: Diagnostic) -> int | None:
        """Return the index of the layer at the position of a diagnostic, None if there is none."""
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
        """Whether all layers, bottoms and tops are known: no syntax errors, and no errors outside of layers."""
        return not self.has_syntax_errors and all(self.layer_of(d) is not None for d in self.report.errors)


@dataclass(frozen=True)
class PlanStep:
    """A step of a plan: either runs nets or other steps, in order, again and again."""

    name: str
    nets: tuple[str, ...] = ()
    steps: tuple[PlanStep, ...] = ()
    repetitions: int | None = 1
    """None for a step that ends only when `stop` is true."""
    stop: str = ""
    """A blob that ends the step when it is true after a net or a step; empty if there is none."""
    only_once: bool = False
    """Whether the step does not run at all if `stop` is already true."""


class PlanDefinition(Definition):
    """Nets, and the order in which they run on one workspace (Caffe2's PlanDef)."""

    kind = "plan"
    nets: Mapping[str, NetDefinition]
    """By name."""
    steps: tuple[PlanStep, ...]

    @property
    def span(self) -> None:
        """None: a plan is always a whole file."""

    def files(self) -> Iterator[FileReference]:
        """Yield the files that its nets refer to."""
        return (file for net in self.nets.values() for file in net.files())


class SolverDefinition(Definition):
    """The settings of a solver."""

    kind = "solver"
    fields: Fields
    """The settings, with their positions and the defaults of those that are not set."""

    @property
    def span(self) -> Span | None:
        """The position of the settings."""
        return self.fields.span()
