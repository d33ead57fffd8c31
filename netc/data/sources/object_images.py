"""Parts of images and the labels of MS-CNN's maps (`image_gt_data_layer.cpp`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.data.records import MAX_SKIPS
from netc.data.sources.flow_database import PendingArrays
from netc.data.sources.object_file import FIELD, ObjectImage, read_objects
from netc.diagnostics import NetcError
from netc.files import reason_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from netc.data.batch import Allocate, Array
    from netc.data.pipeline.sampling import Sampler
    from netc.paths import ResolvePath

Floats = npt.NDArray[Any]
X, Y = slice(2, 6, 2), slice(3, 6, 2)
"""Columns of an object's corners along each axis."""
OCTAVE = 2
"""Sizes per octave to which images are scaled."""
STRETCH = 0.05
"""Distance between the ratios to which objects are stretched."""
SLACK = (0.8, 1.2)
"""Factors of the least and the greatest size that a stretched side may have."""
ENLARGED = 1.5
"""Factor above which an image is cropped before it is enlarged, to `MARGIN` of its size."""
MARGIN = 1.2
SHIFT = 10
"""Pixels by which a crop is moved at random, to either side."""
IN_REGION = 0.4
"""Part of a field in regions to ignore from which it is ignored."""
PICKED = 0.2
"""Overlap from which an object without a position has the one at its center."""
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
        labels = Labels(canvas.objects, canvas.regions, self.in_space).of(self.layer, self.size, place)
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


class Part(NamedTuple):
    """Where an image is in its crop, and where that part begins in the image."""

    top: int
    left: int
    height: int
    width: int
    from_y: int
    from_x: int


class Canvas:
    """An image and what moves with it."""

    def __init__(self, image: Array, entry: ObjectImage) -> None:
        self.image = image
        """(h, w, 3)."""
        self.objects, self.regions = entry.objects.copy(), entry.regions.copy()
        self.projection, self.model = entry.projection.copy(), entry.model

    @property
    def height(self) -> int:
        """Of the image."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Of the image."""
        return int(self.image.shape[1])

    def mirror(self) -> None:
        """Flip horizontally; of the projection the fork also changes the sign of an element of the second row."""
        self.image = self.image[:, ::-1]
        for boxes in (self.objects[:, X], self.regions[:, ::2]):
            boxes[:] = self.width - boxes[:, ::-1]
        self.objects[:, 9] *= -1
        self.objects[:, 12] = math.pi - self.objects[:, 12]
        self.projection[0, 2] = self.width - self.projection[0, 2]
        self.projection[1, 0] *= -1

    def resize(self, height: int, width: int, factors: tuple[float, float] | None = None) -> None:
        """Resize the image; the boxes are multiplied by `factors`, by default those of its extents."""
        if factors is None and (height, width) == (self.height, self.width):
            return
        x, y = factors or (width / self.width, height / self.height)
        self.image = _resized(self.image, height, width)
        for boxes, first in ((self.objects, 2), (self.regions, 0)):
            boxes[:, first : first + 4] *= (x, y, x, y)
        self.projection *= [[x], [y]]

    def move(self, x: float, y: float) -> None:
        """Move the boxes."""
        for boxes, first in ((self.objects, 2), (self.regions, 0)):
            boxes[:, first : first + 4] += (x, y, x, y)
        self.projection[:, 2] += (x, y)

    def scale(self, factors: tuple[float, float], center: list[float]) -> list[float]:
        """Scale the image, of which the part around a center is enough; returns where the center is then."""
        if factors == (1.0, 1.0):
            return center
        if max(factors) > ENLARGED:
            sizes = [
                max(1, min(half_away(MARGIN * extent / factor), extent))
                for extent, factor in zip((self.width, self.height), factors)
            ]
            x, y = (
                min(max(half_away(middle - size * 0.5), 0), extent - size)
                for middle, size, extent in zip(center, sizes, (self.width, self.height))
            )
            self.image = self.image[y : y + sizes[1], x : x + sizes[0]]
            self.move(-x, -y)
            center = [center[0] - x, center[1] - y]
        width, height = (max(1, half_away(e * f)) for e, f in zip((self.width, self.height), factors))
        self.resize(height, width, factors)
        return [middle * factor for middle, factor in zip(center, factors)]


def _placed(extent: int, size: int, center: int, noise: int) -> tuple[int, int, int]:
    """Where an image begins in the crop, where the crop begins in the image, and how much is copied, along an axis."""
    if extent < size:
        return min(max(half_away((size - extent) / 2) + noise, 0), size - extent), 0, extent
    return 0, min(max(center + noise - half_away(size / 2), 0), extent - size), size


@dataclass
class Labels:
    """The labels of a crop."""

    objects: Floats
    regions: Floats
    skips_ignored: bool
    """Whether fields do not see ignored objects (panoramic port)."""

    def of(self, layer: Any, size: tuple[int, int], part: Part) -> list[Array]:
        """The labels (6, h, w) of all maps."""
        count = len(self.objects)
        matched = np.zeros(count, bool)
        best, best_map = np.zeros(count), np.zeros(count, int)
        found = []
        for index in range(len(layer.field_w)):
            label, own, most = self._of_map(layer, index, size, part)
            matched |= own
            better = most > best
            best_map[better], best[better] = index, most[better]
            found.append(label)
        for i in np.flatnonzero(~matched & (self.objects[:, 1] == 0) & (best >= PICKED)):
            label, rate = found[best_map[i]], layer.downsample_rate[best_map[i]]
            box = _centered(self.objects[i])
            x, y = (int(min(max(box[k] // rate, 0), label.shape[2 - k] - 1)) for k in (0, 1))
            if label[0, y, x] <= 0:
                label[:5, y, x] = self.objects[i, 0], *box
        return found

    def _of_map(self, layer: Any, index: int, size: tuple[int, int], part: Part) -> tuple[Array, Array, Floats]:
        """The label of one map, which objects have a position in it, and the greatest overlap of each object."""
        rate, shape = layer.downsample_rate[index], layer.label_size(index, *size)
        fields = _fields(shape, rate, layer.field_w[index], layer.field_h[index])
        used = _inside(shape, part, rate)
        hidden = sum((_overlap(fields, *_box(row), of_field=True) for row in self.regions), np.zeros(shape))
        used &= hidden < IN_REGION
        label = np.zeros((6, *shape), np.float32)
        most, nearest = np.zeros(shape), np.full(shape, -1)
        greatest = np.zeros(len(self.objects))
        for i, row in enumerate(self.objects):
            if row[1] and self.skips_ignored:
                continue
            shared = np.where(used, _overlap(fields, *_box(row[2:6])), 0)
            greatest[i] = shared.max(initial=0)
            better = shared > most
            most[better], nearest[better] = shared[better], i
        label[5] = np.where(used, most, 1)
        hit = (most > layer.fg_threshold) & (nearest >= 0)
        owner = nearest[hit]
        classes = np.where(self.objects[:, 1] == 0, self.objects[:, 0], 0)
        boxes = np.array([_centered(row) for row in self.objects]).reshape(-1, 4)
        label[0][hit], label[1:5, hit] = classes[owner], boxes[owner].T
        own = np.isin(np.arange(len(self.objects)), owner)
        return label, own, greatest


def _fields(shape: tuple[int, int], rate: int, width: float, height: float) -> tuple[Floats, Floats, float, float]:
    """The left and upper edges of the fields of a map, and their extents."""
    x, y = ((np.arange(count) + 0.5) * rate for count in shape[::-1])
    return x[None] - width / 2, y[:, None] - height / 2, width, height


def _box(corners: Floats) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = corners.tolist()
    return x1, y1, x2 - x1, y2 - y1


def _centered(row: Floats) -> tuple[float, float, float, float]:
    """Center and size of an object."""
    x1, y1, x2, y2 = row[2:6].tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _overlap(
    fields: tuple[Floats, Floats, float, float],
    x: float,
    y: float,
    width: float,
    height: float,
    of_field: bool = False,
) -> Floats:
    """Intersection over union of each field with a box, or over the field (h, w)."""
    left, top, own_width, own_height = fields
    if width <= 0 or height <= 0:
        return np.zeros((len(top), left.shape[1]))
    w = (np.minimum(left + own_width, x + width) - np.maximum(left, x)).clip(min=0)
    h = (np.minimum(top + own_height, y + height) - np.maximum(top, y)).clip(min=0)
    common, own = w * h, own_width * own_height
    shared: Floats = common / (own if of_field else own + width * height - common)
    return shared


def _inside(shape: tuple[int, int], part: Part, rate: int) -> Array:
    """Which positions of a map are in the image (h, w)."""
    found = np.zeros(shape, bool)
    top, left, height, width = (half_away(value / rate) for value in part[:4])
    found[top : top + height, left : left + width] = True
    return found


def _resized(image: Array, height: int, width: int) -> Array:
    import cv2

    result: Array = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_LINEAR)
    return result


def half_away(value: float) -> int:
    """The nearest integer, halves away from zero, as in C.

    >>> half_away(2.5), half_away(-2.5), half_away(2.4)
    (3, -3, 2)
    """
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


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
