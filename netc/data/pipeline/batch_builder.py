"""State shared by the chunks of a batch: how records become images of a batch, and its arrays."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.batch import Allocate, Array, Batch, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.data.accepted_labels import AcceptedLabels
    from netc.data.pipeline.augmentation import RecordAugmenter
    from netc.data.pipeline.boxes import BoxTransform
    from netc.data.pipeline.cropping import Cropping
    from netc.data.pipeline.normalization import CropPlacement, Normalization
    from netc.data.records import Record, Records
    from netc.diagnostics import NetcError


class BufferPool:
    """Arrays for reuse: allocating memory costs as much as filling it."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lock = threading.Lock()

    def take(self, shape: Shape, dtype: Any, allocate: Allocate) -> Array:
        """An array of this shape and dtype; free arrays of other shapes are dropped."""
        with self._lock:
            while self._free:
                array = self._free.pop()
                if array.shape == shape and array.dtype == dtype:
                    return array
        return allocate(shape, dtype)

    def release_of(self, array: Array) -> Callable[[], None]:
        """A function that returns an array to the pool; later calls do nothing."""
        held = [array]

        def release() -> None:
            with self._lock:
                self._free += held
                held.clear()

        return release


@dataclass
class BatchBuilder:
    """How batches are assembled from records. One object for all batches of a source, shared by its threads."""

    records: Records
    batch_size: int
    record_shapes: tuple[Shape, ...]
    crop: Cropping
    normalization: Normalization
    augmenter: RecordAugmenter | None = None
    max_attempts: int = 1
    """Records to try for each slot: more than one skips records that cannot be used."""
    boxes: BoxTransform | None = None
    """What moves the boxes of records with their images; None if the labels are numbers."""
    label_maps: bool = False
    """Whether labels are maps, which are cropped and mirrored with the images."""
    accepted: AcceptedLabels | None = None
    """The labels of usable records; None accepts any."""
    normalize_on_host: bool = False
    """Whether chunks normalize; otherwise the device does."""
    allocate: Allocate = np.empty
    skipped: dict[str, NetcError] = field(default_factory=dict)
    """Records that were skipped, by their description, with the error."""
    closed: threading.Event = field(default_factory=threading.Event)
    _buffers: BufferPool = field(default_factory=BufferPool)

    def accepts_shape(self, shape: Shape) -> bool:
        """Whether an image (c, h, w) may be in a batch: with `skip_bad`, one of another size is a bad record."""
        if self.max_attempts == 1 or self.batch_size == 1:
            return True
        expected = self.record_shapes[0]
        if self.augmenter is not None or self.crop.size:  # they determine the size
            return shape[0] == expected[0]
        return shape == expected

    def allocate_batch(self, mirror: Array | None, first: Record) -> Batch:
        """The arrays of a batch whose first record is `first`; `mirror` (n) says which images are flipped."""
        channels, height, width = first.image.shape
        n = self.batch_size
        data_shape = (n, channels, *self.crop.extents(height, width))
        boxes: list[Array | None] | None = None if self.boxes is None else [None] * n
        others = () if boxes is not None else tuple(np.empty((n, *shape), np.float32) for shape in self._labels(first))
        if self.normalize_on_host:
            return Batch((self.allocate(data_shape, np.dtype(np.float32)), *others), boxes=boxes)
        data = self._buffers.take(data_shape, first.image.dtype, self.allocate)
        valid = None if first.valid is None else np.empty((n, 4), np.int64)
        offsets = np.empty((n, 2), np.int64)
        return Batch((data, *others), mirror, offsets, valid, boxes, self._buffers.release_of(data))

    def put_labels(self, batch: Batch, slot: int, record: Record, place: CropPlacement) -> None:
        """Put everything but the image of a record into its slot; a label map as the image is placed."""
        label = record.label
        if self.label_maps:
            (y, x), (h, w) = place.offset, self.crop.extents(*label.shape[1:])
            label = label[:, y : y + h, x : x + w]
            label = label[:, :, ::-1] if place.mirror else label
        for top, value in zip(batch.tops[1:], (label, *record.more)):
            top[slot] = value

    def _labels(self, first: Record) -> tuple[Shape, ...]:
        """Shapes of everything but the image of a record, in a batch."""
        label, *more = map(np.shape, (first.label, *first.more))
        return ((label[0], *self.crop.extents(*label[1:])) if self.label_maps else label, *more)
