"""Parts of images and the labels of MS-CNN's maps (`image_gt_data_layer.cpp`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.data.records import MAX_SKIPS
from netc.data.sources.flow_database import PendingArrays
from netc.data.sources.object_canvas import Canvas, Floats, Part, X, Y, half_away
from netc.data.sources.object_file import FIELD, ObjectImage, read_objects
from netc.data.sources.object_labels import LabelMaker
from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from netc.data.batch import Allocate, Array
    from netc.data.pipeline.sampling import Sampler
    from netc.paths import ResolvePath

OCTAVE = 2
"""Sizes per octave to which images are scaled."""
STRETCH = 0.05
"""Distance between the ratios to which objects are stretched."""
SLACK = (0.8, 1.2)
"""Factors of the least and the greatest size that a stretched side may have."""
SHIFT = 10
"""Pixels by which a crop is moved at random, to either side."""
NO_OBJECTS = (0, 1, 1, 2, 2, 1, 1)
"""The row of objects of a batch without any."""


class Sample(NamedTuple):
    """A part of an image."""

    planes: Array
    """(3, h, w), normalized."""
    labels: list[Array]
    """(6, h, w) for each map."""
    objects: Floats
    """(g, 13); see `ObjectImage`, in pixels of the part, ignored ones included."""
    projection: Floats
    """(2, 3)."""
    model: Floats
    """(4, 4)."""


class ObjectImages:
    """The images of a layer's file. Raises NetcError E501, E502 and E506 for a file that cannot be read, E509."""

    def __init__(self, layer: Any, resolve: ResolvePath) -> None:
        self.layer, self.name, self._resolve = layer, layer.source, resolve
        self._path = resolve(layer.source)
        file = read_objects(self._path, self.name, layer.use_panoramic)
        if layer.in_space and not file.in_space:
            needs = next(
                n for n in ("append_3d_info", "output_projection_matrix", "use_panoramic") if getattr(layer, n)
            )
            what = f"`{self.name}` has no matrices, which `{needs}` needs"
            raise NetcError(what, code="E509", field=f"image_gt_data_param.{needs}")
        self.in_space = file.in_space
        self.images = [image for image in file.images for _ in range(self._times(image))]
        self.size = layer.batch(((3, *file.images[-1].size),), 1)[0][2:]

    def _times(self, image: ObjectImage) -> int:
        return self.layer.fg_img_multiple if (image.objects[:, 1] == 0).any() else 1

    def __len__(self) -> int:
        """Number of images in an epoch."""
        return len(self.images)

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order."""
        return random.permutation(len(self))

    def describe(self, index: int) -> str:
        """The image, for a message."""
        return f"`{self.layer.root_folder}{self.images[index % len(self)].path}` of `{self.name}`"

    def read(self, index: int, random: np.random.Generator) -> Sample:
        """A part of an image. Raises NetcError E504 if it cannot be read, E509 if it is smaller than the crop."""
        entry = self.images[index % len(self)]
        name = self.layer.root_folder + entry.path
        try:
            data = images.read((Path(name), self._path.parent / name, self._resolve(name)))
            planes = images.decode(memoryview(data), images.IMREAD_COLOR)
        except (OSError, ValueError) as error:
            raise NetcError(f"{self.describe(index)}: {reason_of(error)}", code="E504", field=FIELD) from None
        canvas = Canvas(planes.transpose(1, 2, 0), entry)
        if self.layer.transform.mirror and random.integers(2):
            canvas.mirror()
        if self.layer.resize_width:
            canvas.resize(self.layer.resize_height, self.layer.resize_width)
        if canvas.height < self.size[0] or canvas.width < self.size[1]:
            what = f"{self.describe(index)} of {canvas.height}x{canvas.width} is smaller than {self.size}"
            raise NetcError(what, code="E509", field=FIELD)
        place = self._part(canvas, random)
        self._ignore(canvas.objects)
        labels = LabelMaker(canvas.objects, canvas.regions, self.in_space).of(self.layer, self.size, place)
        return Sample(self._normalized(canvas.image, place), labels, canvas.objects, canvas.projection, canvas.model)

    def _part(self, canvas: Canvas, random: np.random.Generator) -> Part:
        """Scale and move a canvas such that the crop begins at 0, 0; returns which part of the crop is the image."""
        height, width = self.size
        chosen = int(random.integers(len(canvas.objects))) if len(canvas.objects) else None
        if chosen is None:
            spare = canvas.width - width, canvas.height - height
            center = [int(random.integers(s + 1)) + size / 2 for s, size in zip(spare, (width, height))]
        else:
            center = [float(canvas.objects[chosen, axis].sum() / 2) for axis in (X, Y)]
        if self.layer.scaled and chosen is not None and random.integers(2):
            scale = self._scale(canvas.objects[chosen], random)
            center = canvas.scale(scale, center)
        axes = []
        for extent, size, middle in zip((canvas.width, canvas.height), (width, height), center):
            noise = int(random.integers(-SHIFT, SHIFT))
            axes.append(_placed(extent, size, half_away(middle), noise))
        (x, from_x, copied_x), (y, from_y, copied_y) = axes
        canvas.move(x - from_x, y - from_y)
        return Part(y, x, copied_y, copied_x, from_y, from_x)

    def _scale(self, chosen: Floats, random: np.random.Generator) -> tuple[float, float]:
        """Factors of width and height."""
        layer, (width, height) = self.layer, (chosen[axis][1] - chosen[axis][0] for axis in (X, Y))
        steps = np.arange(half_away(OCTAVE * math.log2(layer.max_scale / layer.min_scale) + 1)) / OCTAVE
        area, fields = max(width * height, 0.0), (layer.min_scale * 2**steps) ** 2
        alike = np.minimum(area, fields) / np.maximum(area, fields)
        own = steps[alike.argmax()] if alike.max() > 0 else 0.0
        factor = float(2 ** (steps[random.integers(len(steps))] - own))
        if not layer.stretched or not random.integers(2):
            return factor, factor
        count = max(1, half_away((layer.max_whaspect - layer.min_whaspect) / STRETCH))
        ratio = int(random.integers(count)) * STRETCH + layer.min_whaspect
        wide = bool(random.integers(2))
        if width <= 0 or height <= 0:
            return factor, factor
        more = ratio / (width / height)
        side = width * factor * more if wide else height * factor / more
        if not SLACK[0] * layer.min_scale <= side <= SLACK[1] * layer.max_scale:
            return factor, factor
        return (factor * more, factor) if wide else (factor, factor / more)

    def _ignore(self, objects: Floats) -> None:
        """Ignore objects with their center outside the crop, and small ones."""
        layer, (height, width) = self.layer, self.size
        for axis, extent, least in ((X, width, layer.min_gt_width), (Y, height, layer.min_gt_height)):
            low, high = objects[:, axis].T
            middle = (low + high) / 2
            objects[(middle < 0) | (middle >= extent) | (high - low + 1 < least), 1] = 1

    def _normalized(self, image: Array, part: Part) -> Array:
        """The crop (3, h, w)."""
        layer, found = self.layer, np.zeros((*self.size, 3), np.float32)
        mean = np.array(layer.transform.mean_value or (0.0,), np.float32)
        source = image[part.from_y : part.from_y + part.height, part.from_x : part.from_x + part.width]
        rows, columns = slice(part.top, part.top + part.height), slice(part.left, part.left + part.width)
        found[rows, columns] = (source.astype(np.float32) - mean) * np.float32(layer.scale)
        return found.transpose(2, 0, 1)


def _placed(extent: int, size: int, center: int, noise: int) -> tuple[int, int, int]:
    """Where an image begins in the crop, where the crop begins in the image, and how much is copied, along an axis."""
    if extent < size:
        return min(max(half_away((size - extent) / 2) + noise, 0), size - extent), 0, extent
    return 0, min(max(center + noise - half_away(size / 2), 0), extent - size), size


class ObjectSource(PrefetchingSource["PendingArrays"]):
    """Batches of parts of images, labels and objects; see `BatchSource`."""

    normalization = None

    def __init__(
        self, records: ObjectImages, sampler: Sampler, tops: int, threads: int, skip_bad: bool, prefetch: int = 4
    ) -> None:
        self.records, self.layer, self.skip_bad = records, records.layer, skip_bad
        self.tops = tops or 1 + len(records.layer.field_w) + records.layer.output_gt_boxes
        self.skipped: dict[str, NetcError] = {}
        shapes = ((3, *records.size), *(shape[1:] for shape in self._shapes()[1 : 1 + len(self.layer.field_w)]))
        super().__init__(records.name, sampler, self.layer.batch_size, shapes, prefetch, threads)

    def _shapes(self) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self.layer.batch(((3, *self.records.size),), self.tops)
        return found

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; the threads normalize."""

    def release(self) -> None:
        """Nothing is open between batches."""

    def first_of(self, tops: Any, count: int) -> Any:
        """See BatchSource; objects are rows of several images."""
        at = 1 + len(self.layer.field_w)
        return tuple(top[top[:, 0, 0, 0] < count] if i == at else top[:count] for i, top in enumerate(tops))

    def start_batch(self, pool: Executor, position: int) -> PendingArrays:
        """Start to read the images of a batch."""
        numbers = self.sampler.numbers(position, self.batch_size)
        return PendingArrays(pool.submit(self._read, self.sampler.indices(numbers).tolist(), numbers.tolist()))

    def _read(self, indices: list[int], numbers: list[int]) -> tuple[Array, ...]:
        samples = [self._usable(index, number) for index, number in zip(indices, numbers)]
        tops: list[Array] = [np.stack([sample.planes for sample in samples])]
        tops += [np.stack(labels) for labels in zip(*(sample.labels for sample in samples))]
        if self.layer.output_gt_boxes:
            tops.append(self._objects(samples))
        if self.layer.output_projection_matrix:
            for name, count in (("projection", 6), ("model", 16)):
                matrices = [getattr(sample, name).ravel() for sample in samples]
                tops.append(np.array(matrices).reshape(-1, count, 1, 1))
        return tuple(np.ascontiguousarray(top, np.float32) for top in tops[: self.tops])

    def _objects(self, samples: list[Sample]) -> Array:
        """Rows of all objects."""
        columns = [2, 3, 4, 5, 0, 1, *(range(6, 13) if self.layer.append_3d_info else ())]
        rows = [
            np.column_stack([np.full(len(sample.objects), i), sample.objects[:, columns]])
            for i, sample in enumerate(samples)
        ]
        found = np.concatenate(rows)
        if not len(found):
            found = np.array([[*NO_OBJECTS, *[1] * (len(columns) - 6)]])
        return found[:, :, None, None]

    def _usable(self, index: int, number: int) -> Sample:
        """A part of an image, or with `skip_bad` of the next one that can be used."""
        random = np.random.Generator(generator(self.sampler.seed, AUGMENT, number << 16))
        for step in range(MAX_SKIPS if self.skip_bad else 1):
            try:
                return self.records.read(index + step, random)
            except NetcError as error:
                if not self.skip_bad or step + 1 == MAX_SKIPS:
                    raise
                self.skipped[self.records.describe(index + step)] = error
        raise AssertionError("the last attempt returns or raises")
