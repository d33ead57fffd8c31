"""summary: what a net costs, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netc.compiler import checked_graph, phase_of
from netc.diagnostics import NetcError, Source
from netc.frontends.caffe.phase import merged
from netc.frontends.caffe.read import read_net
from netc.inspection.name_warnings import unused_shapes
from netc.inspection.referenced_files import SourceProbe
from netc.inspection.summary_table import as_csv, as_json, as_markdown, as_text
from netc.ir.cost import BYTES, CostRow, rows
from netc.ir.dims import Shape, known
from netc.ir.fields import Fields
from netc.ir.graph import Graph
from netc.ir.liveness import Liveness


@dataclass(frozen=True)
class Summary:
    """A net's layers with shapes, parameters, multiply-adds, memory and receptive fields. `print` shows a table.

    Totals leave out what unknown extents leave open; peaks are None then.
    """

    graph: Graph

    @cached_property
    def live(self) -> Liveness:
        """Which value is needed when."""
        return Liveness(self.graph)

    @cached_property
    def rows(self) -> list[CostRow]:
        """One row a layer, in order: `name`, `type`, `bottoms` and `tops` (shapes), `parameters`, `macs`,
        `operations`, `activation_bytes`, `gradient_bytes`, `receptive_field`, and the graph's `node`.
        """
        return rows(self.graph, self.live)

    @property
    def parameters(self) -> int:
        """Elements of all blobs, shared ones once."""
        return _sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass."""
        return _sum(row.macs for row in self.rows)

    @property
    def operations(self) -> int:
        """Other arithmetic of one forward pass."""
        return _sum(row.operations for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all tops as float32, inputs among them, in-place ones once."""
        return _sum([self.live.bytes(self.graph.inputs), *(row.activation_bytes for row in self.rows)])

    @property
    def gradient_bytes(self) -> int:
        """Bytes of the gradients of these tops, where they get one."""
        return _sum(row.gradient_bytes for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all blobs as float32."""
        return self.parameters * BYTES

    @property
    def inference_peak_bytes(self) -> int | None:
        """Most bytes at one time of a forward pass: the blobs, and the values that are still to be read.

        What an algorithm needs for itself (a convolution's workspace) is not in it.
        """
        peak = self.live.inference_peak
        return None if peak is None else peak + self.parameter_bytes

    @property
    def training_peak_bytes(self) -> int | None:
        """Most bytes at one time of a forward and backward pass: the blobs and their gradients, and the values and
        gradients that are still to be read. A solver's history comes on top: once the blobs for momentum.
        """
        peak = self.live.training_peak
        return None if peak is None else peak + 2 * self.parameter_bytes

    @property
    def batch(self) -> int | None:
        """The first extent of the first input, None where it is not known."""
        names = [*self.graph.inputs, *(top for node in self.graph.nodes if node.layer.is_data for top in node.tops)]
        shape = self.graph.shape(names[0]) if names else None
        return shape[0] if shape and known(shape[0]) else None

    def __str__(self) -> str:
        return as_text(self)

    def to_json(self) -> str:
        """`rows` and `total` as JSON; null where unknown."""
        return as_json(self)

    def to_csv(self) -> str:
        """A head line and one a layer."""
        return as_csv(self)

    def to_markdown(self) -> str:
        """A table, and the totals under it."""
        return as_markdown(self)


def _sum(numbers: Iterable[int | None]) -> int:
    return sum(number for number in numbers if number is not None and known(number))


def summary(
    path: str | Path | Source,
    *,
    phase: str = "test",
    level: int = 0,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
    batch: int | None = None,
    values: Mapping[str, str] | None = None,
) -> Summary:
    """Shapes, parameters, multiply-adds, memory and receptive fields of a net, layer by layer.

    `batch` replaces the first extent of every input that has the batch size of the file; `shapes` gives inputs the
    file leaves open. Data that is not here leaves extents unknown. Raises NetcError for a net that is not sound.
    """
    net, report = read_net(path, values)
    report.raise_errors()
    for found in unused_shapes(net, shapes or {}):
        raise NetcError(found.message, help=found.help)
    asked = Fields({name: value for name, value in (("level", level), ("stage", stages)) if value})
    state = merged(phase_of(phase), net.message("state"), asked)
    probe = SourceProbe()
    graph, report = checked_graph(net, state, probe, shapes)
    if batch is not None:
        if batch < 1:
            raise NetcError(f"a batch of {batch}: it must be positive")
        graph, report = checked_graph(net, state, probe, {**_resized(graph, batch), **(shapes or {})})
    report.raise_errors()
    return Summary(graph)


def _resized(graph: Graph, batch: int) -> dict[str, Shape]:
    """The shapes of all inputs that have the first one's batch size, with another."""
    shapes = {
        graph.values[top].blob: shape
        for node in graph.nodes
        if node.layer.is_data
        for top in node.tops
        if (shape := graph.shape(top))
    }
    size = next(iter(shapes.values()))[0] if shapes else 0
    return {blob: (batch, *shape[1:]) for blob, shape in shapes.items() if shape[0] == size}
