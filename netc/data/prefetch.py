"""Reads batches ahead of their consumer, in threads.

A batch is cut into chunks, one a thread. The first chunk reads the first record, whose size gives the batch its shape
(as in `data_layer.cpp`, where each batch may have another), and makes the arrays that the others wait for. LMDB, OpenCV
and NumPy's copies give up the interpreter's lock, so threads are enough. Faults are raised in the consumer, in order.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.images import Image, copy
from netc.data.order import Draws, Numbers, Order, draws
from netc.data.source import SKIPS, Array, Batch, Read, Record, Records, Shape, Statistics, first_shapes
from netc.data.transform import Crop
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from netc.data.augment import Augment
    from netc.data.finish import Finish

SMALLEST_CHUNK, SMALLEST_VALUES = 8, 1 << 18
"""Records, and values in them: fewer are not worth another thread."""


def cores() -> int:
    """How many there are for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """One a core, eight at most: a net that trains needs the rest."""
    return min(8, cores())


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
        crop: Crop,
        finish: Finish,
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
        self.statistics = Statistics()
        self.complete = False
        self.allocate: Callable[[Shape, Any], Array] = lambda shape, dtype: np.empty(shape, dtype)
        self.prefetch = prefetch
        """Batches read ahead of the consumer; may be changed at any time, and 0 reads what is asked for and no more."""
        self._threads = threads or default_threads()
        self._pending: deque[_Pending] = deque()
        self._planned = 0
        self._pool: ThreadPoolExecutor | None = None
        self._buffers = _Buffers()
        self._closed = threading.Event()

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
        self.position = self._planned = position

    def state(self) -> dict[str, int]:
        """Seed and position."""
        return {"seed": self.order.seed, "position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        """Go on where a source of the same layer stood, with its random numbers."""
        self.seek(state["position"])
        self.order = replace(self.order, seed=state["seed"])

    def close(self) -> None:
        """Stop the threads, wait for them, and close the records."""
        self._closed.set()
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
        if self._closed.is_set():
            raise RuntimeError(f"the source `{self.records.name}` is closed")
        self._pool = self._pool or ThreadPoolExecutor(self._threads, thread_name_prefix="netc-data")
        while len(self._pending) < max(least, self.prefetch):
            numbers = self.order.numbers(self._planned, self.batch_size)
            pending = _Pending(self, numbers, self.order.indices(numbers), draws(self.order.seed, numbers))
            self._pending.append(pending)
            self._planned += self.batch_size
            pending.submit(self._pool, self._threads)

    def open_batch(self, pending: _Pending, first: Record) -> Batch:
        """The arrays of a batch that begins with this record."""
        channels, height, width = first.image.shape
        n = self.batch_size
        data_shape = (n, channels, *self.crop.extents(height, width))
        labels = np.empty((n, *np.shape(first.label)), np.float32)
        if self.complete:
            return Batch((self.allocate(data_shape, np.dtype(np.float32)), labels))
        data = self._buffers.take(data_shape, first.image.dtype, self.allocate)
        valid = None if first.valid is None else np.empty((n, 4), np.int64)
        offsets = np.empty((n, 2), np.int64)
        return Batch((data, labels), pending.mirror, offsets, valid, self._buffers.returning(data))

    def changed(self, record: Record, number: int, index: int) -> Record:
        """A record whose picture is augmented. Raises NetcError E505 for one that cannot be."""
        assert self.augment is not None
        try:
            return record._replace(image=self.augment(record.image, self.order.seed, number))
        except ValueError as error:
            raise NetcError(f"{self.records.describe(index)}: {error}", code="E505", field="transform_param") from None

    def place(self, batch: Batch, pending: _Pending, slot: int, index: int, record: Record) -> None:
        """Crop a record into its slot. Raises NetcError E505 for one of another size than the batch has."""
        data, labels = batch.tops
        image = record.image
        channels, height, width = image.shape
        h, w = self.crop.extents(height, width)
        if height < h or width < w:
            crop = f"the crop of {h}x{w}" if self.crop.width else f"`crop_size` {h}"
            raise self._wrong(index, image, f"is smaller than {crop}", "transform_param.crop_size")
        if (channels, h, w) != data.shape[1:] or not (self.complete or image.dtype == data.dtype):
            raise self._wrong(index, image, f"does not fit a batch of {_text(data.shape[1:], data.dtype)}", None)
        if self.finish.whole:
            self.finish.check(image.shape, lambda: self.records.describe(index))
        y, x = offset = self.crop.offset(height - h, width - w, pending.draws[slot])
        image = image[:, y : y + h, x : x + w]
        if self.complete:
            self.finish.host(data[slot], image, pending.mirrored[slot], offset, record.valid)
        else:
            copy(data[slot], image)
            batch.note(slot, offset, record.valid)
        labels[slot] = record.label

    def _wrong(self, index: int, image: Image, what: str, field: str | None) -> NetcError:
        return NetcError(
            f"{self.records.describe(index)} {what}",
            code="E505",
            field=field,
            notes=[f"its picture is {_text(image.shape, image.dtype)}"],
            help=None if field else "crop or resize the pictures, or set `batch_size: 1`",
        )


class _Pending:
    """A batch on its way: the futures of its chunks, and of its arrays."""

    def __init__(self, source: PrefetchedSource, numbers: Numbers, indices: Numbers, drawn: Draws) -> None:
        self.source = source
        self.mirror = source.crop.mirrored(drawn)
        # Plain numbers, all at once: taking them out of an array one by one costs each record more.
        self.numbers, self.indices, self.draws = numbers.tolist(), indices.tolist(), drawn.tolist()
        self.mirrored = [False] * len(self.numbers) if self.mirror is None else self.mirror.tolist()
        self.batch: Batch | None = None
        self.opened: Future[Batch] = Future()
        self.chunks: list[Future[None]] = []

    def submit(self, pool: ThreadPoolExecutor, threads: int) -> None:
        """Start reading. Chunks start in order, so none waits for a first one that found no thread."""
        count = len(self.indices)
        values = count * math.prod(self.source.record_shapes[0])
        chunks = max(1, min(threads, count // SMALLEST_CHUNK, values // SMALLEST_VALUES))
        edges = [count * i // chunks for i in range(chunks + 1)]
        self.chunks = [pool.submit(self._fill, low, high) for low, high in itertools.pairwise(edges)]

    def result(self) -> Batch:
        """The batch, or the fault of its first bad record."""
        for chunk in self.chunks:
            chunk.result()
        return self.opened.result()

    def cancel(self) -> None:
        """Let go of the batch: chunks that wait for its arrays are released, the others not begun."""
        with contextlib.suppress(InvalidStateError):
            self.opened.set_exception(CancelledError())
        for chunk in self.chunks:
            chunk.cancel()

    def _fill(self, low: int, high: int) -> None:
        try:
            with self.source.records.reading() as read:
                for slot in range(low, high):
                    self._fill_slot(read, slot)
        except BaseException as error:
            if low == 0 and not self.opened.done():
                self.opened.set_exception(error)
            raise

    def _fill_slot(self, read: Read, slot: int) -> None:
        """Put a record into its slot; where that is bad and bad ones are skipped, one behind it."""
        source, index = self.source, self.indices[slot]
        for attempt in range(1, source.attempts + 1):
            if source._closed.is_set():
                raise CancelledError
            try:
                self._put(read, slot, index)
            except NetcError as error:
                if attempt == source.attempts or self._failed_with(error):
                    raise
                source.skipped[source.records.describe(index)] = error
                index = source.records.after(index)
            else:
                return

    def _failed_with(self, error: NetcError) -> bool:
        """Whether it is the whole batch that failed, in the thread that began it."""
        return self.opened.done() and self.opened.exception() is error

    def _put(self, read: Read, slot: int, index: int) -> None:
        source = self.source
        record = read(index)
        if source.augment is not None:
            record = source.changed(record, self.numbers[slot], index)
        if self.batch is None:
            if slot == 0 and not self.opened.done():
                self.opened.set_result(source.open_batch(self, record))
            self.batch = self.opened.result()
        source.place(self.batch, self, slot, index, record)


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


def _text(shape: Shape, dtype: Any) -> str:
    return f"{'x'.join(map(str, shape))} {np.dtype(dtype).name}"
