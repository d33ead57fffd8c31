"""Reads batches ahead of their consumer, in threads.

LMDB, OpenCV and NumPy's copies give up the interpreter's lock, so threads are enough. Faults are raised in the
consumer, in order.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.pipeline.batch_assembly import Pending
from netc.data.pipeline.cropping import Cropping
from netc.data.pipeline.sampling import Order, Plan
from netc.data.source import SKIPS, Array, Batch, ReadStatistics, Record, Records, Shape, first_shapes
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from netc.data.pipeline.augmentation import Augment
    from netc.data.pipeline.normalization import Normalization

LONE_RAW, LONE = 1 << 16, 1 << 13
"""Values of a raw picture, and of a compressed one, from which on several threads read faster than one (measured)."""


def cores() -> int:
    """How many there are for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_for(records: Records, shape: Shape, augmented: bool) -> int:
    """One a core, eight at most: a net that trains needs the rest. But one for pictures of few values.

    There, handing the interpreter's lock to and fro costs threads more than what they do without it.
    """
    raw = not augmented and records.stacked([0]) is not None
    return 1 if math.prod(shape) < (LONE_RAW if raw else LONE) else min(8, cores())


class PrefetchedSource:
    """Batches of pictures and labels from records; see `Source`.

    `records` gives them by index, `order` says which come when, `augment` what is done to each, `crop` what is taken of
    it, and `finish` what is left to the device. `prefetch` batches are read ahead by `threads` threads.

    With `skip_bad` the place of a record that cannot be used is taken by the next one that can; `skipped` tells which.
    """

    def __init__(
        self,
        records: Records,
        order: Order,
        *,
        batch_size: int,
        crop: Cropping,
        finish: Normalization,
        prefetch: int = 4,
        threads: int | None = None,
        augment: Augment | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.records, self.order, self.crop, self.finish = records, order, crop, finish
        self.batch_size = batch_size
        self.augment = augment if augment is not None and augment.active else None
        self.attempts = SKIPS if skip_bad else 1
        self.skipped: dict[str, NetcError] = {}
        self.record_shapes: tuple[Shape, ...] = first_shapes(records, skip_bad)
        self.position = 0
        self.statistics = ReadStatistics()
        self.complete = False
        self.allocate: Callable[[Shape, Any], Array] = lambda shape, dtype: np.empty(shape, dtype)
        self.prefetch = prefetch
        """Batches read ahead of the consumer; may be changed at any time, and 0 reads what is asked for and no more."""
        self._threads = threads or threads_for(records, self.record_shapes[0], self.augment is not None)
        self._pending: deque[Pending] = deque()
        self._plans: Iterator[Plan] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._buffers = _Buffers()
        self.closed = threading.Event()

    def next_batch(self) -> Batch:
        """The next batch. Raises NetcError for the first record of it that cannot be read."""
        self._plan(1)
        begun = time.perf_counter()
        batch = self._pending[0].result()
        self._pending.popleft()
        self.statistics.count(self.batch_size, time.perf_counter() - begun)
        self.position += self.batch_size
        self._plan(0)
        return batch

    def seek(self, position: int) -> None:
        """Go on with another record; what was read ahead is dropped."""
        self._drop()
        self.position, self._plans = position, None

    def state(self) -> dict[str, int]:
        """Seed and position."""
        return {"seed": self.order.seed, "position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        """Go on where a source of the same layer stood, with its random numbers."""
        self.order = replace(self.order, seed=state["seed"])
        self.seek(state["position"])

    def close(self) -> None:
        """Stop the threads, wait for them, and close the records."""
        self.closed.set()
        self._drop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self.records.close()

    def _drop(self) -> None:
        for pending in self._pending:
            pending.cancel()
        self._pending.clear()

    def _plan(self, least: int) -> None:
        """Start reading so many batches as are to be ahead."""
        if self.closed.is_set():
            raise RuntimeError(f"the source `{self.records.name}` is closed")
        self._pool = self._pool or ThreadPoolExecutor(self._threads, thread_name_prefix="netc-data")
        while len(self._pending) < max(least, self.prefetch):
            pending = Pending(self, self._next_plan())
            self._pending.append(pending)
            pending.submit(self._pool, self._threads)

    def _next_plan(self) -> Plan:
        if self._plans is None:
            planned = self.position + len(self._pending) * self.batch_size
            self._plans = self.order.plans(planned, self.batch_size)
        try:
            return next(self._plans)
        except NetcError:  # the keys of a damaged database, say: a generator that raised has come to its end
            self._plans = None
            raise

    def is_usual(self, shape: Shape) -> bool:
        """Whether a picture (c, h, w) may be in a batch: where bad records are skipped, one of another size is one."""
        if self.attempts == 1 or self.batch_size == 1:
            return True
        usual = self.record_shapes[0]
        if self.augment is not None or self.crop.size:  # they give the size
            return shape[0] == usual[0]
        return shape == usual

    def open_batch(self, mirror: Array | None, first: Record) -> Batch:
        """The arrays of a batch that begins with this record, and of whose pictures some are mirrored (n)."""
        channels, height, width = first.image.shape
        n = self.batch_size
        data_shape = (n, channels, *self.crop.extents(height, width))
        labels = np.empty((n, *np.shape(first.label)), np.float32)
        if self.complete:
            return Batch((self.allocate(data_shape, np.dtype(np.float32)), labels))
        data = self._buffers.take(data_shape, first.image.dtype, self.allocate)
        valid = None if first.valid is None else np.empty((n, 4), np.int64)
        offsets = np.empty((n, 2), np.int64)
        return Batch((data, labels), mirror, offsets, valid, self._buffers.returning(data))


class _Buffers:
    """Arrays to be used again: fresh memory costs as much as filling it."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lock = threading.Lock()

    def take(self, shape: Shape, dtype: Any, allocate: Callable[[Shape, Any], Array]) -> Array:
        with self._lock:
            while self._free:
                array = self._free.pop()
                if array.shape == shape and array.dtype == dtype:
                    return array
        return allocate(shape, dtype)

    def returning(self, array: Array) -> Callable[[], None]:
        """What gives the array back, once."""
        held = [array]

        def give_back() -> None:
            with self._lock:
                self._free += held
                held.clear()

        return give_back
