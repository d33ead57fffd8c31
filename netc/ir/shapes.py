"""Infers the shape of every value and reports all independent errors at once.

A layer with a bottom of a failed layer is skipped, because its error may be a consequence. The tops of a layer with a
bottom of an unknown number of axes are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from netc.diagnostics import Diagnostic, NetcError, Report, counted
from netc.ir.dims import LIMIT, MAX_AXES, Shape, differ, known, product, text
from netc.ir.graph import Graph, Node
from netc.ir.layer import DataLayer, Shapes, Weights
from netc.ir.parameter_table import ParameterTable
from netc.ir.parameters import ParamSpec

Probe = Callable[[Node], "Shapes | None"]
"""Returns the shapes of one record of a data layer's source; None if it is not available. Raises NetcError."""


def no_probe(node: Node) -> Shapes | None:
    """The probe without data: shapes that depend on data stay unknown."""
    return None


def infer(graph: Graph, probe: Probe = no_probe, given: Mapping[str, Shape] | None = None) -> tuple[Graph, Report]:
    """Return the graph with shapes, types and parameters, and the errors; values after an error keep shape None.

    `given` are shapes of data layers' tops, by blob, which override those of the file and the source.
    """
    driver = _Driver(graph, probe, given or {})
    nodes = tuple(map(driver.visit, graph.nodes))
    return graph.replace(nodes=nodes, values=driver.values, parameters=driver.table.entries), driver.report


class _Driver:
    def __init__(self, graph: Graph, probe: Probe, given: Mapping[str, Shape]) -> None:
        self.probe, self.given, self.report = probe, given, Report()
        self.values = dict(graph.values)
        self.broken: set[str] = set()
        self.table = ParameterTable(graph.nodes, graph.parameters)
        self.batch: tuple[int, Node] | None = None
        """The batch size of the last data layer that has one, and its node."""
        self.is_batch_reported = False

    def visit(self, node: Node) -> Node:
        """Infer one node, or mark its tops as failed; returns the node with its parameters."""
        if not self.broken.isdisjoint(node.bottoms):
            self.broken.update(node.tops)
            return node
        try:
            self._count(node)
            shapes, weights = self._shapes(node)
            dtypes = node.layer.dtypes(tuple(self.values[name].dtype for name in node.bottoms), len(node.tops))
            if batch := getattr(node.layer, "batch_size", 0):
                self.batch = (batch, node)
            for top, shape, dtype in zip(node.tops, shapes, dtypes):
                self._bound(shape or (), node)
                self.values[top] = replace(self.values[top], shape=shape, dtype=dtype)
            return replace(node, parameters=self.table.add(node, weights))
        except NetcError as error:
            self.broken.update(node.tops)
            self.report.extend(self._placed(d, node) for d in error.diagnostics)
            return node

    def _shapes(self, node: Node) -> tuple[tuple[Shape | None, ...], Weights]:
        """Shapes of the tops, and the layer's blobs."""
        if isinstance(node.layer, DataLayer):
            blobs = [self.values[top].blob for top in node.tops]
            if all(blob in self.given for blob in blobs):
                return tuple(self.given[blob] for blob in blobs), ()
            shapes = node.layer.batch(self.probe(node), len(node.tops))
            tops = tuple(self.given.get(blob, shape) for blob, shape in zip(blobs, shapes))
            if getattr(node.layer, "batch_size", 0):
                self._check_batch(blobs, tops)
            return tops, ()
        bottoms = tuple(self.values[name].shape for name in node.bottoms)
        if any(shape is None for shape in bottoms):
            return (None,) * len(node.tops), ()
        known: Shapes = bottoms  # type: ignore[assignment]
        tops = node.layer.infer(known, len(node.tops))
        weights = node.layer.weights(known)
        for shape in (*tops, *(weight.shape for weight in weights)):
            if shape is not None:
                self._bound(shape, node)
        for weight in weights:
            weight.filler.check_shape(weight.shape, f"{weight.name}_filler")
        if None not in tops:  # a layer with unknown tops may also have unknown blobs
            self._check_specs(node, weights)
        return tops, weights

    def _check_batch(self, blobs: Sequence[str], tops: Sequence[Shape | None]) -> None:
        """Raise NetcError E102 for a given shape with another batch size than the layer's other tops."""
        items = {blob: shape[0] for blob, shape in zip(blobs, tops) if shape}
        for blob in items.keys() & self.given.keys():
            for other in items.keys() - self.given.keys():
                if differ(items[blob], items[other]):
                    mine = ",".join(map(str, (items[other], *self.given[blob][1:])))
                    theirs = ",".join(map(str, (items[blob], *(tops[blobs.index(other)] or ())[1:])))
                    raise NetcError(
                        f"the shape given for `{blob}` has {counted(items[blob], 'item')}, "
                        f"but `{other}` of the same layer has {items[other]}",
                        code="E102",
                        help=f"pass `--shape {blob}={mine}`, or also `--shape {other}={theirs}`",
                    )

    def _bound(self, shape: Shape, node: Node) -> None:
        """Check the size of a blob. If it is too large because of the batch size only, the error is at that, once."""
        batch, source = self.batch or (0, node)
        if shape[:1] != (batch,) or not product(shape) > LIMIT >= product(shape[1:]):
            _bounded(shape, node)
        elif not self.is_batch_reported:
            self.is_batch_reported = True
            notes = () if node is source else (f"the blob arises {node.origin.note()}",)
            found = Diagnostic("E104", _too_many(shape, product(shape)), notes=notes, field="batch_size")
            self.report.add(self._placed(found, source))

    def _count(self, node: Node) -> None:
        layer = node.layer
        bottom, top = node.origin.nouns
        for noun, names, rule in ((bottom, node.bottoms, layer.bottom_count), (top, node.tops, layer.top_count)):
            if len(names) not in rule:
                raise NetcError(
                    f"`{layer.type}` expects {rule.text(noun)}, got {len(names)}",
                    code="E020",
                    span=node.origin.span(noun, rule.most(len(names))),
                    field=noun,
                )
        if layer.same_count and len(node.bottoms) != len(node.tops):
            raise NetcError(
                f"`{layer.type}` expects one top per bottom, {len(node.bottoms)} in total, got {len(node.tops)}",
                code="E020",
                span=node.origin.span("top", len(node.bottoms)),
                field="top",
            )

    def _check_specs(self, node: Node, weights: Weights) -> None:
        if len(node.param_specs) > len(weights):
            raise NetcError(
                f"expected at most {counted(len(weights), '`param` entry')}, one per blob, got {len(node.param_specs)}",
                code="E021",
                span=node.origin.span("param", len(weights)),
                field="param",
            )
        own: dict[str, Shape] = {}
        for index, weight in enumerate(weights):
            spec = node.param_spec(index)
            if not spec.name:
                continue
            entry = self.table.entries.get(spec.name)
            first = entry.shape if entry else own.setdefault(spec.name, weight.shape)
            if not _shareable(spec, weight.shape, first):
                owner = self.table.first.get(spec.name, node)
                raise NetcError(
                    f"blob {index} has shape {text(weight.shape)}, but shares parameter `{spec.name}` "
                    f"with {text(first)} of layer `{owner.name}`",
                    code="E022",
                    span=node.origin.span("param.name", index),
                    field="param",
                )

    def _placed(self, found: Diagnostic, node: Node) -> Diagnostic:
        bottoms = ", ".join(f"{name}{text(self.values[name].shape)}" for name in node.bottoms)
        return node.origin.placed(found, bottoms)


def _shareable(spec: ParamSpec, shape: Shape, first: Shape) -> bool:
    return not (differ(product(shape), product(first)) if spec.permissive else differ(shape, first))


def _bounded(shape: Shape, node: Node) -> None:
    """Raises NetcError E104 for shapes that Caffe does not support, and for blobs without elements.

    Unknown extents are counted as 1.
    """
    if len(shape) > MAX_AXES:
        _refuse(f"a blob of {len(shape)} axes has more than Caffe's limit of {MAX_AXES}", shape, node)
    if any(extent < 0 for extent in shape):
        _refuse(f"a blob of shape {text(shape)} has a negative extent", shape, node)
    if 0 in shape and not node.layer.empty_blobs:
        _refuse(f"a blob of shape {text(shape)} has no elements", shape, node)
    count = 1
    for extent in shape:
        count *= extent if known(extent) else 1
    if count > LIMIT:
        _refuse(_too_many(shape, count), shape, node)


def _too_many(shape: Shape, count: int) -> str:
    return f"a blob of shape {text(shape)} has {count:,} elements, more than Caffe's limit of {LIMIT:,}"


def _refuse(message: str, shape: Shape, node: Node) -> NoReturn:
    """Raise NetcError E104 at the field that determines the shape."""
    largest = max(filter(known, shape), default=0)
    field = "num_output" if largest == getattr(node.layer, "num_output", None) else "shape"
    raise NetcError(message, code="E104", field=field)
