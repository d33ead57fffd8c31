"""Assembles batches from records: threads read and crop the chunks of each batch and, for a CPU, normalize them.

The first chunk reads the first record, whose size determines the shape of the batch (as in `data_layer.cpp`, where each
batch may have another), and allocates the arrays that the others wait for.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.images import Image, copy, flip, interleaved
from netc.data.pipeline.boxes import BoxRegion, join_boxes
from netc.data.pipeline.normalization import CropPlacement
from netc.data.records import Read, Record
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from netc.data.batch import Array, Batch, Shape
    from netc.data.pipeline.batch_builder import BatchBuilder
    from netc.data.pipeline.sampling import BatchPlan

Sides = tuple[int, int, int, int]
SMALLEST_CHUNK, SMALLEST_VALUES = 8, 1 << 18
"""The smallest numbers of records and of values that are worth another thread."""
VALUES_TOGETHER = 1 << 18
"""Values of small images that are read together: as many as fit in the cache of a core."""
_BUFFERS = threading.local()


class PendingBatch:
    """A batch that is being read: the futures of its chunks and of its arrays."""

    def __init__(self, builder: BatchBuilder, plan: BatchPlan) -> None:
        self.builder, self.plan = builder, plan
        self.mirror = builder.crop.mirrored(plan.draws)
        self.opened: Future[Batch] = Future()
        self._chunks: list[Future[None]] = []

    def submit(self, pool: Executor, threads: int) -> None:
        """Start reading. Chunks start in order, so that none waits for a first chunk that has no thread yet."""
        count = len(self.plan.indices)
        values = count * math.prod(self.builder.record_shapes[0])
        chunks = max(1, min(threads, count // SMALLEST_CHUNK, values // SMALLEST_VALUES))
        edges = [count * i // chunks for i in range(chunks + 1)]
        self._chunks = [pool.submit(BatchChunk(self, low, high).read) for low, high in itertools.pairwise(edges)]

    def result(self) -> Batch:
        """The batch. Raises the error of its first bad record."""
        for chunk in self._chunks:
            chunk.result()
        batch = self.opened.result()
        if batch.boxes is not None and len(batch.tops) == 1:
            batch.tops = (batch.tops[0], join_boxes(batch.boxes))
        return batch

    def cancel(self) -> None:
        """Abandon the batch: release chunks that wait for its arrays, do not start the others."""
        with contextlib.suppress(InvalidStateError):
            self.opened.set_exception(CancelledError())
        for chunk in self._chunks:
            chunk.cancel()


class BatchChunk:
    """Consecutive records of a batch, read by one thread."""

    def __init__(self, pending: PendingBatch, low: int, high: int) -> None:
        self.pending, self.builder, self.low, self.high = pending, pending.builder, low, high
        self._batch: Batch | None = None

    def read(self) -> None:
        """Fill the slots of the chunk. Raises the error of its first bad record."""
        builder, low = self.builder, self.low
        step = VALUES_TOGETHER // math.prod(builder.record_shapes[0])
        try:
            if builder.augmenter is None and builder.crop.inverted is None:
                while step > 1 and low < self.high and self._fill_together(low, min(low + step, self.high)):
                    low += step
            if low < self.high:
                self._fill_each(low, self.high)
        except BaseException as error:
            if self.low == 0 and not self.pending.opened.done():
                self.pending.opened.set_exception(error)
            raise

    def _fill_together(self, low: int, high: int) -> bool:
        """Fill several slots together if their records allow it; returns whether they do."""
        builder, plan, mirror = self.builder, self.pending.plan, self.pending.mirror
        read_many = builder.records.read_many(plan.indices[low:high].tolist())
        if read_many is None:
            return False
        images, numbers = read_many
        if not builder.accepts_shape(images.shape[1:]) or not (builder.accepted is None or builder.accepted(numbers)):
            return False  # reading one by one finds the bad ones
        batch = self._batch = self._batch or self._opened(low, Record(images[0], numbers[0]))
        data, labels = batch.tops[:2]
        count, channels, height, width = images.shape
        h, w = builder.crop.extents(height, width)
        alike = (channels, h, w) == data.shape[1:] and (builder.normalize_on_host or images.dtype == data.dtype)
        if not alike or height < h or width < w or not builder.normalization.fits(images.shape[1:]):
            return False
        offsets = np.empty((count, 2), np.int64)
        offsets[:, 0], offsets[:, 1] = builder.crop.offset(height - h, width - w, plan.draws[low:high].T)
        images = images if (h, w) == (height, width) else _cropped(images, offsets, (h, w))
        labels[low:high] = numbers
        if builder.normalize_on_host:
            mirrored = [False] * count if mirror is None else mirror[low:high].tolist()
            for image in itertools.compress(images, mirrored):
                flip(image)
            places = [CropPlacement((y, x), which) for (y, x), which in zip(offsets.tolist(), mirrored)]
            builder.normalization.host(data[low:high], images, places)
        else:
            data[low:high] = images
            batch.note(slice(low, high), offsets, None)
        return True

    def _fill_each(self, low: int, high: int) -> None:
        """Fill slots one by one."""
        plan = self.pending.plan
        # Converted to Python numbers at once: indexing an array for each record costs more.
        rows = zip(range(low, high), plan.indices[low:high].tolist(), plan.draws[low:high].tolist())
        with self.builder.records.reading() as read:
            for slot, index, draw in rows:
                self._fill(read, slot, index, draw)

    def _fill(self, read: Read, slot: int, index: int, draw: list[int]) -> None:
        """Put a record into its slot; a bad record is replaced by a following one, if bad ones are skipped."""
        builder = self.builder
        for attempt in range(1, builder.max_attempts + 1):
            if builder.closed.is_set():
                raise CancelledError
            try:
                self._put(read(index), slot, index, draw)
            except NetcError as error:
                whole = error.diagnostics[0].code == "E501"  # the source, not one record
                if whole or attempt == builder.max_attempts or self._failed_with(error):
                    raise
                builder.skipped[builder.records.describe(index)] = error
                index = builder.records.next_index(index)
            else:
                return

    def _failed_with(self, error: NetcError) -> bool:
        """Whether the whole batch failed, in the thread that allocates it."""
        opened = self.pending.opened
        return opened.done() and opened.exception() is error

    def _put(self, record: Record, slot: int, index: int, draw: list[int]) -> None:
        """Augment a record and crop it into its slot.

        Raises NetcError E505 for one that does not fit its batch, E301 for one whose label is not accepted.
        """
        builder = self.builder
        record = self._usable(record, slot, index)
        image = record.image
        channels, height, width = image.shape
        h, w = builder.crop.extents(height, width)
        batch = self._batch = self._batch or self._opened(slot, record)
        data = batch.tops[0]
        if (channels, h, w) != data.shape[1:] or not (builder.normalize_on_host or image.dtype == data.dtype):
            raise self._wrong(index, image, f"does not fit a batch of {_text(data.shape[1:], data.dtype)} images", None)
        y, x = offset = builder.crop.offset(height - h, width - w, draw)
        image = image[:, y : y + h, x : x + w]
        mirror = self.pending.mirror is not None and bool(self.pending.mirror[slot])
        if mirror and builder.crop.inverted is not None:
            image = image.copy()
            np.subtract(255, image[builder.crop.inverted], out=image[builder.crop.inverted])
        place = CropPlacement(offset, mirror, _visible(record.valid, offset, (h, w), mirror))
        if batch.boxes is None:
            builder.put_labels(batch, slot, record, place)
        else:
            batch.boxes[slot] = self._boxes(record, index, BoxRegion((height, width), (y, x), (h, w), mirror))
        if builder.normalize_on_host:
            builder.normalization.host(data[slot : slot + 1], _arranged(image, mirror)[None], [place])
        else:
            copy(data[slot], image)
            batch.note(slot, offset, place.valid)

    def _usable(self, record: Record, slot: int, index: int) -> Record:
        """The augmented record. Raises NetcError E301 for its label, E505 for its size."""
        builder = self.builder
        if builder.accepted is not None and not builder.accepted(record.label):
            bad = builder.accepted.first_bad(record.label)
            what = f"{builder.records.describe(index)}: label outside {builder.accepted}: {bad:g}"
            raise NetcError(what, code="E301")
        if builder.augmenter is not None:
            record = self._augmented(record, slot, index)
        image = record.image
        height, width = image.shape[1:]
        h, w = builder.crop.extents(height, width)
        if height < h or width < w:
            crop = f"the crop of {h}x{w}" if builder.crop.width else f"`crop_size` {h}"
            raise self._wrong(index, image, f"is smaller than {crop}", "transform_param.crop_size")
        if builder.normalization.per_pixel:
            builder.normalization.check(image.shape, lambda: builder.records.describe(index))
        if not builder.accepts_shape(image.shape):
            usual = "x".join(map(str, builder.record_shapes[0]))
            raise self._wrong(index, image, f"is skipped: the images of the source are {usual}", None)
        return record

    def _augmented(self, record: Record, slot: int, index: int) -> Record:
        builder, number = self.builder, int(self.pending.plan.numbers[slot])
        assert builder.augmenter is not None
        try:
            return builder.augmenter.record(record, self.pending.plan.seed, number)
        except NetcError:
            raise
        except ValueError as error:
            what = f"{builder.records.describe(index)}: {error}"
            raise NetcError(what, code="E505", field="transform_param") from None

    def _boxes(self, record: Record, index: int, region: BoxRegion) -> Array:
        assert self.builder.boxes is not None
        try:
            return self.builder.boxes(record.label, region)
        except ValueError as error:
            what = f"{self.builder.records.describe(index)}: {error}"
            raise NetcError(what, code="E505", field="transform_param") from None

    def _opened(self, slot: int, record: Record) -> Batch:
        """The batch, allocated for its first record."""
        pending, builder = self.pending, self.builder
        if slot == 0 and not pending.opened.done():
            pending.opened.set_result(builder.allocate_batch(pending.mirror, record))
        return pending.opened.result()

    def _wrong(self, index: int, image: Image, what: str, field: str | None) -> NetcError:
        return NetcError(
            f"{self.builder.records.describe(index)} {what}",
            code="E505",
            field=field,
            notes=[f"its image is {_text(image.shape, image.dtype)}"],
            help=None if field else "crop or resize the images, or set `batch_size: 1`",
        )


def _cropped(images: Array, offsets: Array, size: tuple[int, int]) -> Array:
    """The crop of each image (n, c, h, w) at its row and column in `offsets` (n, 2)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, size, (2, 3))
    return np.ascontiguousarray(windows[np.arange(len(images)), :, offsets[:, 0], offsets[:, 1]])


def _visible(valid: Sides | None, offset: tuple[int, int], size: tuple[int, int], mirror: bool) -> Sides | None:
    """Top, left, bottom, right of an image within the padding of its crop, which may be mirrored."""
    if valid is None:
        return None
    top, bottom = (min(max(side - offset[0], 0), size[0]) for side in valid[::2])
    left, right = (min(max(side - offset[1], 0), size[1]) for side in valid[1::2])
    return (top, size[1] - right, bottom, size[1] - left) if mirror else (top, left, bottom, right)


def _arranged(image: Image, mirror: bool) -> Image:
    """The image as separate planes, optionally mirrored, in a buffer that each thread reuses.

    Allocation costs more than filling, and processing strided images costs many times more than a copy.
    """
    if not mirror and not interleaved(image):
        return image
    buffer: Image | None = getattr(_BUFFERS, "buffer", None)
    if buffer is None or buffer.shape != image.shape or buffer.dtype != image.dtype:
        _BUFFERS.buffer = buffer = np.empty(image.shape, image.dtype)
    copy(buffer, image, mirror)
    return buffer


def _text(shape: Shape, dtype: Any) -> str:
    return f"{'x'.join(map(str, shape))} {np.dtype(dtype).name}"
