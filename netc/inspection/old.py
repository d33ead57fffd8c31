"""What can be said of a net without running it: its faults, its shapes and its cost. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from netc import paths
from netc.compiler import Prober, checked_graph, graph_of, phase_of
from netc.diagnostics import Diagnostic, NetcError, Report, in_order
from netc.frontends.caffe.read import is_solver, read, read_net
from netc.ir.cost import BYTES, Row, rows
from netc.ir.dims import Shape, product, text
from netc.ir.fields import Fields
from netc.ir.graph import Graph, Phase, State


def check(
    path: str | Path, *, level: int = 0, stages: Sequence[str] = (), shapes: Mapping[str, Shape] | None = None
) -> list[Diagnostic]:
    """Everything that is found wrong with a net, or with a solver and its nets, in the order of the files.

    Both phases of a net are looked at. `shapes` gives the shapes of blobs that only data would tell. Never raises for
    what a file says; a file that cannot be read is a finding too.
    """
    try:
        fields, report = read(path)
    except NetcError as error:
        return list(error.diagnostics)
    if not is_solver(fields):
        _check_net(fields, report, State("TEST", level, tuple(stages)), shapes)
    else:
        _check_solver(fields, report, shapes)
    return in_order(report.diagnostics)


def _check_net(net: Fields, report: Report, state: State, shapes: Mapping[str, Shape] | None) -> None:
    phases: tuple[Phase, ...] = ("TRAIN", "TEST")
    for phase in phases:
        prober = Prober()
        found = checked_graph(net, State(phase, state.level, state.stages), prober, shapes)[1]
        report.extend(found.diagnostics)
        report.extend(prober.warnings)


def _check_solver(solver: Fields, report: Report, shapes: Mapping[str, Shape] | None) -> None:
    """The nets that a solver names, each once, and the settings themselves."""
    from netc.train.settings import settings_of

    try:
        settings_of(solver)
    except NetcError as error:
        report.extend(error.diagnostics)
    own = solver.span()
    near = own.source.name if own else None
    named = [solver[name] for name in ("net", "train_net") if solver[name]] + list(solver["test_net"])
    for name in dict.fromkeys(named):
        try:
            net, found = read_net(paths.find(name, near)[0])
        except NetcError as error:
            report.extend(error.diagnostics)
            continue
        report.extend(found.diagnostics)
        _check_net(net, report, State(), shapes)


@dataclass(frozen=True)
class Summary:
    """A net's layers with shapes, parameters, multiply-adds and activation memory. `print` shows a table."""

    graph: Graph

    @cached_property
    def rows(self) -> list[Row]:
        """One row a layer, in order."""
        return rows(self.graph)

    @property
    def parameters(self) -> int:
        """Elements of all blobs, shared ones once."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass; layers of unknown extents are left out."""
        return sum(row.cost.macs for row in self.rows if row.cost)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all tops as float32, inputs among them, in-place ones once."""
        inputs = (self.graph.shape(name) for name in self.graph.inputs)
        held = sum(product(shape) * BYTES for shape in inputs if shape is not None)
        return held + sum(row.activation_bytes or 0 for row in self.rows)

    def table(self) -> list[tuple[str, ...]]:
        """The rows as text: layer, type, tops, parameters, multiply-adds, activation bytes; `?` where unknown."""
        return [
            (
                row.node.name,
                row.node.layer.type,
                " ".join(map(text, row.tops)),
                f"{row.parameters:,}",
                f"{row.cost.macs:,}" if row.cost else "?",
                "?" if row.activation_bytes is None else f"{row.activation_bytes:,}",
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        head = ("layer", "type", "tops", "parameters", "multiply-adds", "bytes")
        total = ("total", "", "", f"{self.parameters:,}", f"{self.macs:,}", f"{self.activation_bytes:,}")
        lines = [head, *self.table(), total]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        return "\n".join(
            "  ".join(_aligned(cell, i, widths[i]) for i, cell in enumerate(line)).rstrip() for line in lines
        )


def _aligned(cell: str, column: int, width: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)


def summary(
    path: str | Path,
    *,
    phase: str = "test",
    level: int = 0,
    stages: Sequence[str] = (),
    shapes: Mapping[str, Shape] | None = None,
) -> Summary:
    """Shapes, parameters, multiply-adds and memory of a net, layer by layer.

    Raises NetcError for a net that is not sound.
    """
    net, report = read_net(path)
    report.raise_errors()
    return Summary(graph_of(net, State(phase_of(phase), level, tuple(stages)), Prober(), shapes))
