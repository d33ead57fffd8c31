"""The contents of a weights file, and how they fit a net. Values are read for statistics only, without torch."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc import compiler
from netc.frontends import TEST_STATE, StateChoice, read_net
from netc.weights import BlobArray, BlobStatistics, LayerBlobs, StateDict, Weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.ir.dims import Shape
    from netc.ir.graph import Graph


@dataclass(frozen=True)
class BlobRow:
    """One blob of a file, or of the net it is compared with."""

    layer: str
    type: str
    """Type of the layer; the name of the tensor (`weight`) in a list of a state_dict without a net."""
    index: int
    file: Shape | None
    """Its shape in the file; None where only the net has it."""
    net: Shape | None = None
    """Its shape in the net; None where only the file has it, or without a net."""
    dtype: str = ""
    statistics: BlobStatistics | None = None
    compared: bool = False

    @property
    def verdict(self) -> str:
        """How file and net agree: empty without a net, else `fits`, `only in the file`, `reshape`, ..."""
        if not self.compared:
            return ""
        if self.file is None:
            return "only in the net"
        if self.net is None:
            return "only in the file"
        if self.file == self.net or _squeezed(self.file) == _squeezed(self.net):
            return "fits"
        return "equal counts" if math.prod(self.file) == math.prod(self.net) else "differs"

    @property
    def remark(self) -> str:
        """What is suspicious in the statistics: NaN, or only zeros."""
        found = self.statistics
        if found is None:
            return ""
        return f"{found.nans} NaN" if found.nans else "all zero" if found.all_zero else ""


@dataclass(frozen=True)
class Listing:
    """A weights file."""

    path: str
    name: str
    """The net's name in the file."""
    rows: tuple[BlobRow, ...]

    @property
    def values(self) -> int:
        """The number of values in the file."""
        return sum(math.prod(row.file) for row in self.rows if row.file is not None)

    @property
    def fits(self) -> bool:
        """Whether every blob of the net is in the file, in its shape (blobs that only the file has are ignored)."""
        return all(row.verdict in ("", "fits", "only in the file") for row in self.rows)


def list_weights(
    path: str | Path,
    net: str | Path | None = None,
    *,
    stats: bool = False,
    shapes: Mapping[str, Shape] | None = None,
    state: StateChoice = TEST_STATE,
) -> Listing:
    """The blobs of a file of any format in its order, then those that only `net` has. Raises NetcError."""
    content = compiler.read_weights(path)
    graph = None if net is None else _graph(net, {str(path): content}, shapes, state)
    weights = _by_layer(content, graph) if isinstance(content, StateDict) else content
    wanted = _Wanted(graph)
    rows = [row for layer in weights.layers for row in _rows(layer, wanted.take(layer.name), graph is not None, stats)]
    return Listing(str(path), weights.name, (*rows, *wanted.rest()))


def _by_layer(tensors: StateDict, graph: Graph | None) -> Weights:
    """A state_dict as the layers of the graph; without one, each tensor with its own name in place of the type."""
    if graph is None:
        named = [(*name.rpartition(".")[::2], tensor) for name, tensor in tensors.tensors.items()]
        return Weights(tuple(LayerBlobs(layer or name, name, (BlobArray(a),)) for layer, name, a in named))
    layers = [(name, arrays) for name, arrays in compiler.layers_of(graph, tensors) if arrays]
    blobs = ((name, (None if a is None else BlobArray(a) for a in arrays)) for name, arrays in layers)
    return Weights(tuple(LayerBlobs(name, "", tuple(held)) for name, held in blobs))


def _graph(
    net: str | Path,
    contents: Mapping[str, Weights | StateDict],
    shapes: Mapping[str, Shape] | None,
    state: StateChoice,
) -> Graph:
    definition = read_net(net)
    definition.report.raise_errors()
    compiler.weights_of(definition, tuple(contents), parsed=contents)
    return compiler.graph_of(definition, state.of(definition), compiler.Prober(), shapes)


def _rows(layer: LayerBlobs, net: tuple[Shape, ...], compared: bool, stats: bool) -> list[BlobRow]:
    rows = []
    for index in range(max(len(layer.blobs), len(net))):
        blob: BlobArray | None = layer.blobs[index] if index < len(layer.blobs) else None
        rows.append(
            BlobRow(
                layer=layer.name,
                type=layer.type,
                index=index,
                file=None if blob is None else blob.shape,
                net=net[index] if index < len(net) else None,
                dtype="" if blob is None else blob.data.dtype.name,
                statistics=blob.statistics if stats and blob is not None else None,
                compared=compared,
            )
        )
    return rows


class _Wanted:
    """The net's blobs by layer name; of equal names the first goes first."""

    def __init__(self, graph: Graph | None) -> None:
        self.waiting: defaultdict[str, deque[tuple[str, tuple[Shape, ...]]]] = defaultdict(deque)
        for node in graph.nodes if graph else ():
            shapes = tuple(weight.shape for weight in graph.weights(node)) if graph else ()
            if shapes:
                self.waiting[node.name].append((node.layer.type, shapes))

    def take(self, name: str) -> tuple[Shape, ...]:
        """The shapes of the next layer of this name; none where the net has no such layer."""
        waiting = self.waiting[name]
        return waiting.popleft()[1] if waiting else ()

    def rest(self) -> list[BlobRow]:
        """The blobs that no layer of the file matched."""
        return [
            BlobRow(name, kind, index, None, shape, compared=True)
            for name, waiting in self.waiting.items()
            for kind, shapes in waiting
            for index, shape in enumerate(shapes)
        ]


def _squeezed(shape: Shape) -> Shape:
    """A shape without the leading ones of old files."""
    start = next((i for i, extent in enumerate(shape) if extent != 1), max(0, len(shape) - 1))
    return shape[start:]
