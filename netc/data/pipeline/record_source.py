"""Batches of images and labels from records."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from netc.data.pipeline.batch_assembly import PendingBatch
from netc.data.pipeline.batch_builder import BatchBuilder
from netc.data.pipeline.boxes import first_boxes
from netc.data.pipeline.parallel_map import cores
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.records import MAX_SKIPS, Records, first_shapes
from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

    from torch import Tensor

    from netc.data.accepted_labels import AcceptedLabels
    from netc.data.batch import Allocate, Shape
    from netc.data.pipeline.augmentation import RecordAugmenter
    from netc.data.pipeline.boxes import BoxTransform
    from netc.data.pipeline.cropping import Cropping
    from netc.data.pipeline.normalization import Normalization
    from netc.data.pipeline.sampling import BatchPlan, Sampler

RAW_THREADED, ENCODED_THREADED = 1 << 16, 1 << 13
"""Sizes, in values, of raw and encoded images from which several threads read faster than one (measured)."""


def threads_for(records: Records, shape: Shape, augmented: bool) -> int:
    """The number of threads: one per core, at most eight, since training needs the rest; one for small images.

    For small images, passing the interpreter lock between threads costs more than the work done without it.
    """
    raw = not augmented and records.read_many([0]) is not None
    return 1 if math.prod(shape) < (RAW_THREADED if raw else ENCODED_THREADED) else min(8, cores())


class RecordSource(PrefetchingSource[PendingBatch]):
    """Batches of images and labels from records; see `BatchSource`.

    `records` are read by index, `sampler` determines which and when, `augmenter` changes each image, `crop` cuts it,
    `boxes` moves its boxes, with `label_maps` its label is cropped too, and `normalization` is applied last, on the
    device or in the threads. `frames` is the number of frames of an image that is a clip. `prefetch` batches are read
    ahead by `threads` threads. With `skip_bad` the next usable record replaces one that cannot be used, or whose label
    is not `accepted`; `skipped` lists the latter.
    """

    def __init__(
        self,
        records: Records,
        sampler: Sampler,
        *,
        batch_size: int,
        crop: Cropping,
        normalization: Normalization,
        prefetch: int = 4,
        threads: int | None = None,
        augmenter: RecordAugmenter | None = None,
        boxes: BoxTransform | None = None,
        frames: int = 0,
        label_maps: bool = False,
        skip_bad: bool = False,
        accepted: AcceptedLabels | None = None,
    ) -> None:
        augmenter = augmenter if augmenter is not None and augmenter.active else None
        shapes = first_shapes(records, skip_bad)
        threads = threads or threads_for(records, shapes[0], augmenter is not None)
        super().__init__(records.name, sampler, batch_size, shapes, prefetch, threads)
        self.builder = BatchBuilder(
            records,
            batch_size,
            shapes,
            crop,
            normalization,
            augmenter,
            MAX_SKIPS if skip_bad else 1,
            boxes=boxes,
            label_maps=label_maps,
            accepted=accepted if skip_bad else None,
            closed=self.closed,
        )
        self._plans: Iterator[BatchPlan] | None = None
        self._frames = frames

    @property
    def skipped(self) -> dict[str, NetcError]:
        """See BatchSource."""
        return self.builder.skipped

    @property
    def normalization(self) -> Normalization:
        """See BatchSource."""
        return self.builder.normalization

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource."""
        self.builder.allocate, self.builder.normalize_on_host = allocate, normalize_on_host

    def batch_bytes(self) -> int:
        """The memory of a batch of cropped images: floats if they are normalized here, else bytes."""
        channels, height, width = self.record_shapes[0]
        values = self.batch_size * channels * math.prod(self.builder.crop.extents(height, width))
        maps = math.prod(self.builder.crop.extents(height, width)) if self.builder.label_maps else 0
        return values * (4 if self.builder.normalize_on_host else 1) + 4 * self.batch_size * maps

    def start_batch(self, pool: Executor, position: int) -> PendingBatch:
        """Start the chunks of a batch."""
        pending = PendingBatch(self.builder, self._next_plan(position))
        pending.submit(pool, self.threads)
        return pending

    def arranged(self, tops: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See BatchSource; the planes of several frames get an axis of their own."""
        if not self._frames:
            return tops
        n, _, height, width = tops[0].shape
        return tops[0].reshape(n, -1, self._frames, height, width), *tops[1:]

    def first_of(self, tops: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
        """See BatchSource."""
        if self.builder.boxes is None or len(tops) < 2:
            return super().first_of(tops, count)
        return tops[0][:count], first_boxes(tops[1], count), *(top[:count] for top in tops[2:])

    def seek(self, position: int) -> None:
        """Continue with another record; batches read ahead are dropped."""
        super().seek(position)
        self._plans = None

    def release(self) -> None:
        """Close the records."""
        self.builder.records.close()

    def _next_plan(self, position: int) -> BatchPlan:
        if self._plans is None:
            self._plans = self.sampler.plans(position, self.batch_size)
        try:
            return next(self._plans)
        except NetcError:  # such as the keys of a damaged database: a generator that raised has ended
            self._plans = None
            raise
