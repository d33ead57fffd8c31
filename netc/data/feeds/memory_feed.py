"""The feed of MemoryData: arrays passed by a program (`memory_data_layer.cpp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netc.diagnostics import NetcError, counted
from netc.ir.dims import text

if TYPE_CHECKING:
    from netc.ir.graph import Node

Array = NDArray[np.float32]


class MemoryFeed:
    """Batches of the arrays of the last `set`; the last batch is followed by the first."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._layer: Any = node.layer
        self._data: Array | None = None
        self._labels: Array | None = None
        self._position = 0

    def set(self, data: Array, labels: Array) -> None:
        """Set data (n, c, h, w) and n labels. Raises NetcError E305 for shapes that the layer does not accept."""
        layer = self._layer
        expected = (layer.channels, layer.height, layer.width)
        if data.ndim != 4 or data.shape[1:] != expected:
            shape = text((-1, *expected)).replace("-1", "n")
            self._fail(f"expected data of shape {shape}, got {text(data.shape)}")
        if labels.size != len(data):
            self._fail(f"expected as many labels as items of data ({len(data)}), got {labels.size}")
        if not len(data) or len(data) % layer.batch_size:
            self._fail(f"expected a multiple of the batch size {layer.batch_size}, got {counted(len(data), 'item')}")
        self._data, self._labels, self._position = data, labels.reshape(-1), 0

    def next(self) -> tuple[Tensor, Tensor]:
        """See Feed. Raises NetcError E305 before `set`."""
        if self._data is None or self._labels is None:
            self._fail("no data: call `set_input_arrays(data, labels)` before the first pass")
        rows = slice(self._position, self._position + self._layer.batch_size)
        self._position = rows.stop % len(self._data)
        return torch.from_numpy(self._data[rows]), torch.from_numpy(self._labels[rows])

    def close(self) -> None:
        """Do nothing: no file is open."""

    def _fail(self, message: str) -> NoReturn:
        raise NetcError(message, code="E305", span=self._node.span, notes=[f"in layer `{self._node.name}`"])
