"""What feeds the data layers of a pycaffe net."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netc.compiler import resolver
from netc.data import BatchSource as Batches
from netc.data import open_source
from netc.data.pipeline.device_feed import DeviceFeed
from netc.diagnostics import NetcError
from netc.ir.dims import text
from netc.ir.graph import Graph, Node
from netc.layers.data import MemoryData
from netc.layers.dummy_data import DummyData
from netc.layers.input import Input
from netc.runtime.dummy_data import DummySource

Array = NDArray[np.float32]
Source = Callable[[], Sequence[Tensor]]


def sources_of(graph: Graph, others: Container[str] = ()) -> dict[str, Source]:
    """A source for each data layer, by node key, but for those in `others`.

    Input has none: whoever runs the net fills it.
    """
    return {node.key: _source(graph, node) for node in graph.nodes if _is_fed(node) and node.key not in others}


def _is_fed(node: Node) -> bool:
    return node.layer.is_data and not isinstance(node.layer, Input)


def _source(graph: Graph, node: Node) -> Source:
    layer = node.layer
    if isinstance(layer, DummyData):
        return DummySource(layer.shapes(len(node.tops)), layer.fillers(len(node.tops)))
    if isinstance(layer, MemoryData):
        return MemorySource(node, layer)
    return Records(graph, node)


class Records:
    """The batches of a database, list or HDF5 data layer; opened when the first is asked for."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self._node = graph, node
        self._feed: DeviceFeed | None = None

    def __call__(self) -> Sequence[Tensor]:
        """The next batch. Raises NetcError for a source that cannot be read."""
        if self._feed is None:
            self._feed = DeviceFeed(self._open())
        return self._feed.next()

    def close(self) -> None:
        """Stop reading ahead."""
        if self._feed is not None:
            self._feed.source.close()
            self._feed = None

    def _open(self) -> Batches:
        seed = int(torch.randint(2**31, ()))
        tops = [self._graph.values[name].blob for name in self._node.tops]
        try:
            return open_source(
                self._node.layer,
                self._graph.state.phase,
                seed=seed,
                resolve_path=resolver(self._node),
                tops=tops,
            )
        except NetcError as error:
            raise error.at(self._node.span, f"in layer `{self._node.name}`") from None


class MemorySource:
    """Batches of arrays that `Net.set_input_arrays` handed over, round and round (`memory_data_layer.cpp`)."""

    def __init__(self, node: Node, layer: MemoryData) -> None:
        self._node, self._layer = node, layer
        self._data: Array | None = None
        self._labels: Array | None = None
        self._at = 0

    def set(self, data: Array, labels: Array) -> None:
        """Take (n, c, h, w) data and n labels. Raises NetcError E305 for shapes that the layer does not take."""
        layer = self._layer
        expected = (layer.channels, layer.height, layer.width)
        if data.ndim != 4 or data.shape[1:] != expected:
            self._fail(f"data of shape {text(data.shape)}, the layer takes {text((-1, *expected)).replace('-1', 'n')}")
        if labels.size != len(data):
            self._fail(f"{len(data)} items of data, but {labels.size} labels")
        if not len(data) or len(data) % layer.batch_size:
            self._fail(f"{len(data)} items are no multiple of the batch size {layer.batch_size}")
        self._data, self._labels, self._at = data, labels.reshape(-1), 0

    def __call__(self) -> tuple[Tensor, Tensor]:
        """The next batch. Raises NetcError E305 before `set`."""
        if self._data is None or self._labels is None:
            self._fail("no data: call `set_input_arrays(data, labels)` before the first pass")
        rows = slice(self._at, self._at + self._layer.batch_size)
        self._at = rows.stop % len(self._data)
        return torch.from_numpy(self._data[rows]), torch.from_numpy(self._labels[rows])

    def _fail(self, message: str) -> NoReturn:
        raise NetcError(message, code="E305", span=self._node.span, notes=[f"in layer `{self._node.name}`"])
