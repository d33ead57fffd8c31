"""Reads batches ahead of their consumer, in threads.

LMDB, LevelDB, OpenCV and NumPy's copies release the interpreter lock, so threads are enough. Errors are raised in the
consumer, in order.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from netc.data.pipeline.thread_pool import ReadingPool
from netc.data.source import ReadStatistics
from netc.diagnostics import NetcError
from netc.host_memory import available_memory, excess

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from torch import Tensor

    from netc.data.batch import Batch, Shape
    from netc.data.pipeline.sampling import Sampler


class PendingRead(Protocol):
    """A batch that is being read."""

    def result(self) -> Batch:
        """Wait for the batch. Raises the error of reading it."""

    def cancel(self) -> object:
        """Do not read what has not been started."""


P = TypeVar("P", bound=PendingRead)


class PrefetchingSource(Generic[P]):
    """The part of a `BatchSource` that does not depend on what is read; a subclass starts the reading of each batch."""

    def __init__(
        self, name: str, sampler: Sampler, batch_size: int, shapes: tuple[Shape, ...], prefetch: int, threads: int
    ) -> None:
        self.name, self.sampler, self.batch_size, self.record_shapes = name, sampler, batch_size, shapes
        self.position = 0
        self.statistics = ReadStatistics()
        self.prefetch = prefetch
        """Batches read ahead of the consumer; may be changed at any time. With 0 a batch is read when it is needed."""
        self.threads = threads
        self.closed = threading.Event()
        self._pending: deque[P] = deque()
        self._pool: ReadingPool | None = None

    def batch_bytes(self) -> int:
        """The memory that one batch takes, estimated from the shapes of a record."""
        return self.batch_size * sum(4 * math.prod(shape) for shape in self.record_shapes)

    def epoch_size(self) -> int | None:
        """The number of records of one pass over the data; None for windows, which are drawn at random."""
        permute = self.sampler.permute
        return None if permute is None else len(permute(np.random.default_rng(0)))

    def start_batch(self, pool: Executor, position: int) -> P:
        """Start to read the batch whose first record is this rank's `position`."""
        raise NotImplementedError

    def next_batch(self) -> Batch:
        """The next batch. Raises NetcError for the first record of it that cannot be read."""
        self._read_ahead(1)
        started = time.perf_counter()
        batch = self._pending[0].result()
        self._pending.popleft()
        self.statistics.count(self.batch_size, time.perf_counter() - started)
        self.position += self.batch_size
        self._read_ahead(0)
        return batch

    def arranged(self, tops: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See BatchSource."""
        return tops

    def first_of(self, tops: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
        """See BatchSource."""
        return tuple(top[:count] for top in tops)

    def seek(self, position: int) -> None:
        """Continue with another record; batches read ahead are dropped."""
        for pending in self._pending:
            pending.cancel()
        self._pending.clear()
        self.position = position

    def state(self) -> dict[str, int]:
        """Seed and position."""
        return {"seed": self.sampler.seed, "position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        """Continue where another source of the same layer was, with its random numbers."""
        self.sampler = replace(self.sampler, seed=state["seed"])
        self.seek(state["position"])

    def close(self) -> None:
        """Stop the threads and wait for them; what a blocked thread reads stays open."""
        self.closed.set()
        self.seek(self.position)
        if self._pool is not None:
            self._pool.stop()
        if self._pool is None or self._pool.join():
            self.release()

    def release(self) -> None:
        """Close what the threads have read."""

    def _fit_memory(self) -> None:
        """Read fewer batches ahead where they would take more than half of the memory.

        Raises NetcError E104 for a single batch that exceeds it.
        """
        size = self.batch_bytes()
        if found := excess(size):
            message = f"a batch of {self.batch_size} records of `{self.name}` takes {found}"
            raise NetcError(message, code="E104", field="batch_size")
        if size and (available := available_memory()):
            self.prefetch = min(self.prefetch, available // 2 // size)

    def _read_ahead(self, minimum: int) -> None:
        """Start reads until `prefetch` batches, and at least `minimum`, are pending."""
        if self.closed.is_set():
            raise RuntimeError(f"the source `{self.name}` is closed")
        if self._pool is None:
            self._fit_memory()
            self._pool = ReadingPool(self.threads, "netc-data")
        while len(self._pending) < max(minimum, self.prefetch):
            position = self.position + len(self._pending) * self.batch_size
            self._pending.append(self.start_batch(self._pool, position))
