"""Videos with a truth for each voxel, from the binary files of C3D (`video_with_voxel_truth_data_layer.cpp`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.pipeline.sampling import draws
from netc.data.records import MAX_SKIPS
from netc.data.sources.flow_database import PendingArrays
from netc.data.sources.image_list import read_text
from netc.diagnostics import NetcError
from netc.files import is_file, read_bytes, reason_of
from netc.weights import read_blob

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from netc.data.batch import Allocate, Array
    from netc.data.pipeline.sampling import Draws, Sampler
    from netc.paths import ResolvePath

Floats = npt.NDArray[np.float32]
FIELD = "image_data_param.source"
HEADER = 20
"""Bytes of the extents."""


class VoxelTruthRecords:
    """The files of the list of a layer. Raises NetcError E501 to E505 for a list, a file or a mean that is not one."""

    def __init__(self, layer: Any, resolve: ResolvePath) -> None:
        self.layer, self.name, self._resolve = layer, layer.source, resolve
        self._path = resolve(layer.source)
        self.files = read_text(self._path, self.name, FIELD).split()
        if not self.files:
            raise NetcError(f"list `{self.name}` is empty", code="E502", field=FIELD)
        self.size: tuple[int, ...] = ()
        self.size = self.read(0).shape
        truth = layer.truth_channels
        if self.size[0] <= truth:
            text = f"{self.describe(0)} has {self.size[0]} channels, of which {truth} are the truth"
            raise NetcError(text, code="E508", field=FIELD)
        self.shapes = ((self.size[0] - truth, *self.size[1:]), (truth, *self.size[1:]))
        self.mean = self._mean()
        layer.batch(self.shapes, 2)

    def __len__(self) -> int:
        """Number of files."""
        return len(self.files)

    def describe(self, index: int) -> str:
        """The file, for a message."""
        return f"file `{self.files[index % len(self)]}` of `{self.name}`"

    def read(self, index: int) -> npt.NDArray[Any]:
        """The values (c, length, h, w) of a file. Raises NetcError E503, E504."""
        name = self.files[index % len(self)]
        places = (Path(name), self._path.parent / name, self._resolve(name))
        try:
            values = _values(read_bytes(next((one for one in places if is_file(one)), places[0])), self.layer.of_bytes)
        except (OSError, ValueError) as error:
            raise NetcError(f"{self.describe(index)}: {reason_of(error)}", code="E504", field=FIELD) from None
        if self.size and values.shape != self.size:
            text = f"{self.describe(index)} has the shape {values.shape}; that of the first is {self.size}"
            raise NetcError(text, code="E503", field=FIELD)
        return values

    def _mean(self) -> Floats | None:
        path = self.layer.transform.mean_file
        if not path:
            return None
        mean = read_blob(self._resolve(path))
        if mean.size != math.prod(self.shapes[0]):
            text = f"a mean of {mean.shape} does not fit videos of {self.shapes[0]}"
            raise NetcError(text, code="E505", field="transform_param.mean_file")
        return np.asarray(mean, np.float32).reshape(self.shapes[0])


def _values(data: bytes | memoryview, of_bytes: bool) -> npt.NDArray[Any]:
    """The values of a file. Raises ValueError for one of another length than its extents tell."""
    if len(data) < HEADER:
        raise ValueError("it is too short for the extents of a video")
    count, *size = np.frombuffer(data, "<i4", 5).tolist()
    kind = np.dtype(np.uint8 if of_bytes else "<f4")
    if count != 1 or min(size) < 1 or len(data) != HEADER + kind.itemsize * math.prod(size):
        raise ValueError(f"its {len(data)} bytes are not a video of the extents {(count, *size)}")
    return np.frombuffer(data, kind, offset=HEADER).reshape(size)


class VoxelTruthSource(PrefetchingSource["PendingArrays"]):
    """Batches of videos and their truth; see `BatchSource`."""

    normalization = None

    def __init__(
        self, records: VoxelTruthRecords, sampler: Sampler, train: bool, threads: int, skip_bad: bool, prefetch: int = 4
    ) -> None:
        super().__init__(records.name, sampler, records.layer.batch_size, records.shapes, prefetch, threads)
        self.records, self.train, self.skip_bad = records, train, skip_bad
        self.skipped: dict[str, NetcError] = {}

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; the tops are complete as they are read."""

    def release(self) -> None:
        """Nothing is open between batches."""

    def start_batch(self, pool: Executor, position: int) -> PendingArrays:
        """Start to read a batch."""
        numbers = self.sampler.numbers(position, self.batch_size)
        indices = self.sampler.indices(numbers) % len(self.records)
        return PendingArrays(pool.submit(self._read, indices.tolist(), draws(self.sampler.seed, numbers)))

    def _read(self, indices: list[int], drawn: Draws) -> tuple[Array, ...]:
        shapes = self.records.layer.batch(self.record_shapes, 2)
        videos, truths = (np.empty(shape, np.float32) for shape in shapes)
        for row, (index, draw) in enumerate(zip(indices, drawn.tolist())):
            videos[row], truths[row] = self._cropped(self._usable(index), draw)
        return videos, truths

    def _cropped(self, values: npt.NDArray[Any], draw: list[int]) -> tuple[Floats, Floats]:
        """The video and its truth, of one of the crops."""
        layer, (_, _, h, w) = self.records.layer, values.shape
        transform, split = layer.transform, len(values) - layer.truth_channels
        video, truth = values[:split].astype(np.float32), values[split:].astype(np.float32)
        if self.records.mean is not None:
            video -= self.records.mean
        video *= np.float32(transform.scale)
        size = transform.crop_size
        if not size:
            return video, truth
        truth *= np.float32(getattr(layer, "truth_scale", 1.0))
        # As in the fork, a random crop is never the last one.
        top, left = (draw[0] % (h - size), draw[1] % (w - size)) if self.train else ((h - size) // 2, (w - size) // 2)
        video, truth = (one[..., top : top + size, left : left + size] for one in (video, truth))
        if transform.mirror and draw[2] % 2:
            video, truth = video[..., ::-1], truth[..., ::-1]
            if getattr(layer, "is_flow", False):
                truth[0] *= -1
        return video, truth

    def _usable(self, index: int) -> npt.NDArray[Any]:
        """The values of a file, or with `skip_bad` those of the next one that can be read."""
        for step in range(MAX_SKIPS if self.skip_bad else 1):
            try:
                return self.records.read(index + step)
            except NetcError as error:
                if not self.skip_bad or step + 1 == MAX_SKIPS:
                    raise
                self.skipped[self.records.describe(index + step)] = error
        raise AssertionError("the last attempt returns or raises")
