"""summary: the cost of a net, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.compiler import checked_graph, state_choice, weights_of
from netc.diagnostics import NetcError, Source
from netc.frontends import read_net
from netc.inspection.name_warnings import unused_shapes
from netc.inspection.net_cost import NetCost
from netc.inspection.referenced_files import SourceProbe
from netc.inspection.summary_table import as_csv, as_json, as_markdown, as_text
from netc.passes.settle_types import settle_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from netc.ir.dims import Shape
    from netc.ir.graph import Graph


@dataclass(frozen=True)
class Summary(NetCost):
    """The cost of a net, layer by layer. `str()` returns a table."""

    def __str__(self) -> str:
        return as_text(self)

    def to_json(self) -> str:
        """Return `rows` and `total` as JSON; unknown numbers are null."""
        return as_json(self)

    def to_csv(self) -> str:
        """Return CSV with a header and one line per layer."""
        return as_csv(self)

    def to_markdown(self) -> str:
        """Return a Markdown table followed by the totals."""
        return as_markdown(self)


def summary(
    path: str | Path | Source,
    *,
    weights: Sequence[str | Path] = (),
    phase: str = "test",
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
    shapes: Mapping[str, Shape] | None = None,
    batch: int | None = None,
    values: Mapping[str, str] | None = None,
    dialect: str | None = None,
) -> Summary:
    """Compute shapes, parameters, multiply-adds, memory and receptive fields of a net, layer by layer.

    `weights` are files whose blobs a Caffe2 net reads: without them, and without `shapes`, their shapes are unknown.
    `batch` replaces the first extent of every input that has the batch size of the file; `shapes` are the shapes of
    inputs that the file does not define. `autocrop` computes the offsets of Crop layers as in `load`. Missing data
    results in unknown extents. Raises NetcError for a net with errors.
    """
    net = read_net(path, values, dialect=dialect)
    net.report.raise_errors()
    weights_of(net, weights)
    for found in unused_shapes(net, shapes or {}):
        raise NetcError(found.message, help=found.help)
    state = state_choice(phase, level, stages, autocrop).of(net)
    probe = SourceProbe()
    graph, report = checked_graph(net, state, probe, shapes, settle_types)
    if batch is not None:
        if batch < 1:
            raise NetcError(f"the batch size is {batch}: it must be positive")
        graph, report = checked_graph(net, state, probe, {**_resized(graph, batch), **(shapes or {})}, settle_types)
    report.raise_errors()
    return Summary(graph)


def _resized(graph: Graph, batch: int) -> dict[str, Shape]:
    """The shapes, with another batch size, of all inputs that have the batch size of the first one."""
    shapes = {
        graph.values[top].blob: shape
        for node in graph.nodes
        if node.layer.is_data
        for top in node.tops
        if (shape := graph.shape(top))
    }
    size = next(iter(shapes.values()))[0] if shapes else 0
    return {blob: (batch, *shape[1:]) for blob, shape in shapes.items() if shape[0] == size}
