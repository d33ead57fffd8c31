"""Batches as tensors on a device."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from netc.data.batch import Array, Batch, Shape
    from netc.data.source import BatchSource


class DeviceFeed:
    """The batches of a source as normalized tensors on a device.

    Bytes are copied to a CUDA device from pinned memory, on a separate stream.
    """

    def __init__(self, source: BatchSource, device: str | torch.device = "cpu") -> None:
        import torch

        self.source, self.device = source, torch.device(device)
        self._stream: Any = None
        self._in_flight: list[tuple[Any, Batch]] = []
        if self.device.type == "cuda":
            self._stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            source.configure(_pinned, normalize_on_host=False)
        else:
            source.configure(OutputPool().take, normalize_on_host=True)

    def next(self) -> tuple[Tensor, ...]:
        """The tops of the next batch. Raises NetcError as the source does."""
        import torch

        batch = self.source.next_batch()
        if self._stream is None:
            return self.source.arranged(tuple(torch.from_numpy(top).to(self.device) for top in batch.tops))
        return self.source.arranged(self._on_cuda(batch))

    def _on_cuda(self, batch: Batch) -> tuple[Tensor, ...]:
        import torch

        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            tops = [torch.from_numpy(top).to(self.device, non_blocking=True) for top in batch.tops]
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(self._stream)
            if self.source.normalization is not None:
                tops[0] = self.source.normalization(tops[0], batch.mirror, batch.offsets, batch.valid)
        current.wait_stream(self._stream)
        for top in tops:
            top.record_stream(current)
        self._in_flight.append((copied, batch))
        while self._in_flight and self._in_flight[0][0].query():
            self._in_flight.pop(0)[1].release()
        return tuple(tops)


class OutputPool:
    """Arrays for normalized batches; an array is reused when no tensor refers to it.

    Allocation costs more than filling. A tensor made from an array refers to it, and so do views of the tensor.
    """

    def __init__(self) -> None:
        self._arrays: list[Array] = []
        self._lock = threading.Lock()

    def take(self, shape: Shape, dtype: Any) -> Array:
        """An array that is not in use."""
        with self._lock:
            self._arrays = [a for a in self._arrays if a.shape == shape and a.dtype == dtype]
            for i in range(len(self._arrays)):
                if sys.getrefcount(self._arrays[i]) == 2:  # the list and the call
                    return self._arrays[i]
            self._arrays.append(np.empty(shape, dtype))
            return self._arrays[-1]


def _pinned(shape: Shape, dtype: Any) -> Array:
    import torch

    kind = torch.uint8 if np.dtype(dtype) == np.uint8 else torch.float32
    return torch.empty(shape, dtype=kind, pin_memory=True).numpy()
