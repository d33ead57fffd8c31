"""Batches that a program hands over: MemoryData's arrays, DummyData's fillers, a test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from netc.data.source import Array, Batch, Shape, Statistics
from netc.diagnostics import NetcError


class HandedSource:
    """Batches that `make()` gives, complete; see `Source`.

    `shapes` are those of one record of each top. `state` holds the position only: what `make` draws is its own affair.
    """

    finish = None
    complete = True
    allocate: Callable[[Shape, Any], Array] = staticmethod(np.empty)  # type: ignore[assignment]

    def __init__(self, make: Callable[[], tuple[Array, ...]], shapes: tuple[Shape, ...], batch_size: int) -> None:
        self._make, self.record_shapes, self.batch_size = make, shapes, batch_size
        self.position = 0
        self.statistics = Statistics()

    def next_batch(self) -> Batch:
        """What `make` gives."""
        tops = self._make()
        self.position += self.batch_size
        self.statistics.count(self.batch_size, 0.0)
        return Batch(tops)

    def seek(self, position: int) -> None:
        """Count from another record."""
        self.position = position

    def state(self) -> dict[str, int]:
        """The position."""
        return {"position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        """Go on where another source stood."""
        self.seek(state["position"])

    def close(self) -> None:
        """Nothing is open."""


class MemorySource(HandedSource):
    """Batches cut from arrays, round and round (`memory_data_layer.cpp`).

    As in Caffe, arrays are taken as they are: a transform is the caller's affair.
    """

    def __init__(self, batch_size: int, shape: Shape, data: Array | None = None, labels: Array | None = None) -> None:
        super().__init__(self._cut, (shape, ()), batch_size)
        self._data: Array | None = None
        self._labels: Array | None = None
        if data is not None and labels is not None:
            self.reset(data, labels)

    def reset(self, data: Array, labels: Array) -> None:
        """Take data (n, c, h, w) and labels, one a picture, and begin with the first.

        Raises NetcError E505 where shapes do not fit the layer, or n is no multiple of its batch size.
        """
        shape = self.record_shapes[0]
        if data.shape[1:] != shape:
            given, wanted = ("x".join(map(str, s)) for s in (data.shape[1:], shape))
            raise NetcError(f"pictures of {given} for a layer of {wanted}", code="E505")
        if np.size(labels) != len(data):
            raise NetcError(f"{np.size(labels)} labels for {len(data)} pictures", code="E505")
        if not len(data) or len(data) % self.batch_size:
            raise NetcError(
                f"{len(data)} pictures are no multiple of `batch_size` {self.batch_size}",
                code="E505",
                field="memory_data_param.batch_size",
            )
        self._data = np.ascontiguousarray(data, np.float32)
        self._labels = np.ascontiguousarray(labels, np.float32).reshape(-1)
        self.position = 0

    def _cut(self) -> tuple[Array, ...]:
        if self._data is None or self._labels is None:
            raise NetcError("a `MemoryData` layer was given no arrays", code="E502")
        low = self.position % len(self._data)
        piece = slice(low, low + self.batch_size)
        return self._data[piece], self._labels[piece]
