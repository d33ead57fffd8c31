"""Images with their objects and regions, for Fast and Faster R-CNN (`roi_data_layer` of py-faster-rcnn)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from netc.data import images
from netc.data.batch import Array, Batch, Shape
from netc.data.pipeline.parallel_map import cores
from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.data.sources.annotated_image import AnnotatedImage, bad_annotation
from netc.data.sources.image_list import read_text
from netc.data.sources.region_sampling import codes_of, overlaps, sampled
from netc.data.tools.annotation_sources import data_set
from netc.diagnostics import Diagnostic, NetcError, did_you_mean
from netc.files import is_folder, reason_of

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from netc.data.pipeline.sampling import Sampler
    from netc.paths import ResolvePath

FIELD = "python_param.param_str"


class RegionImage(NamedTuple):
    """An image of the data set."""

    path: Path
    boxes: Array
    """Objects (g, 4), counted from 0, with the last pixel inside."""
    classes: Array
    """(g)."""
    proposals: Array
    """Further boxes (p, 4)."""
    masks: tuple[Array, ...] = ()
    """The masks of objects, from the first row and column of each box."""
    extents: tuple[int, ...] = ()
    """Height and width of the maps that masks are from."""


class RegionImages:
    """The images of a layer, each twice if it is also read mirrored; see `RegionSource`.

    Raises NetcError E501, E502, E506 and E513 for a folder, a list or an annotation that cannot be read.
    """

    layout = "PASCAL VOC"

    def __init__(self, layer: Any, resolve: ResolvePath) -> None:
        self.layer, self.name = layer, layer.source
        layer.check_names()
        self.folder = resolve(layer.source)
        if not is_folder(self.folder):
            help = f"set `source` in `param_str` to a folder in the layout of {self.layout}"
            raise NetcError(f"there is no folder `{self.name}`", code="E501", field=FIELD, help=help, missing=True)
        self.entries = self.listed(_proposals(layer.proposals, resolve) if layer.proposals else {})
        if not self.entries:
            raise NetcError(f"`{self.name}` has no image with an object", code="E502", field=FIELD)

    def __len__(self) -> int:
        return len(self.entries) * (2 if self.layer.use_flipped else 1)

    def permute(self, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random order."""
        return random.permutation(len(self))

    def listed(self, proposals: dict[str, Array]) -> list[RegionImage]:
        """The images with objects, and the proposals of each."""
        found, bad = list[RegionImage](), list[Diagnostic]()
        for name, annotation in data_set(self.folder, split=self.layer.image_set).entries:
            try:
                if isinstance(annotation, NetcError):
                    raise annotation
                boxes, classes = self._objects(annotation)
            except NetcError as error:
                bad += error.diagnostics
                continue
            if len(boxes):
                own = proposals.get(Path(name).stem, np.empty((0, 4)))
                found.append(RegionImage(self.folder / name, boxes, classes, own))
        if bad:
            raise NetcError(bad)
        return found

    def _objects(self, annotation: AnnotatedImage) -> tuple[Array, Array]:
        boxes, classes, names = [], [], self.layer.classes
        for one in annotation.objects:
            if one.difficult and not self.layer.use_difficult:
                continue
            if one.name not in names:
                help = did_you_mean(one.name, names)
                raise bad_annotation(annotation.source, f"unknown class `{one.name}`", one.line, one.where, help)
            boxes.append([side - 1 for side in one.box])
            classes.append(names.index(one.name) + 1)
        return np.array(boxes, np.float64).reshape(-1, 4), np.array(classes, np.float64)

    def opened(self, number: int) -> RegionImage:
        """An image with its objects."""
        return self.entries[number]

    def read(self, index: int, target: int) -> tuple[Array, float, RegionImage]:
        """An image scaled to a shorter side of `target` (3, h, w), its scale, and its boxes, scaled.

        Raises NetcError E504 for an image that cannot be read.
        """
        mirrored, number = divmod(index, len(self.entries))
        entry = self.opened(number)
        try:
            planes = images.decode(memoryview(images.read([entry.path])), images.IMREAD_COLOR)
        except (OSError, ValueError) as error:
            raise NetcError(f"`{entry.path}`: {reason_of(error)}", code="E504", field=FIELD) from None
        if entry.extents and entry.extents != planes.shape[1:]:
            (height, width), (own, wide) = planes.shape[1:], entry.extents
            what = f"`{entry.path}` is {height} x {width}, its maps of objects and classes {own} x {wide}"
            raise NetcError(what, code="E504", field=FIELD)
        boxes, proposals = (_mirrored(b, planes.shape[2]) if mirrored else b for b in (entry.boxes, entry.proposals))
        planes = planes[:, :, ::-1] if mirrored else planes
        masks = tuple(mask[:, ::-1] for mask in entry.masks) if mirrored else entry.masks
        scaled, scale = self._scaled(planes, target)
        return scaled, scale, RegionImage(entry.path, boxes * scale, entry.classes, proposals * scale, masks)

    def _scaled(self, planes: Array, target: int) -> tuple[Array, float]:
        """The mean is subtracted before the image is scaled, in float32."""
        import cv2

        short, long = sorted(planes.shape[1:])
        scale = target / short
        if round(scale * long) > self.layer.max_size:
            scale = self.layer.max_size / long
        image = planes.transpose(1, 2, 0).astype(np.float32) - np.array(self.layer.pixel_means, np.float32)
        resized = cv2.resize(image, None, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        return resized.transpose(2, 0, 1), scale


class RegionSource(PrefetchingSource["PendingTops"]):
    """Batches of images with objects or sampled regions; see `BatchSource`."""

    normalization = None

    def __init__(self, records: RegionImages, sampler: Sampler, further: tuple[Shape, ...] = ()) -> None:
        """`further` are the shapes of tops after the objects."""
        self.records, self.layer = records, records.layer
        self.skipped: dict[str, NetcError] = {}
        """None: an image that cannot be read is an error."""
        sampler.shuffle, sampler.permute = True, records.permute
        shapes: tuple[Shape, ...] = ((3, self.layer.max_size, self.layer.max_size), (3,), (1, 5), *further)
        super().__init__(records.name, sampler, self.layer.batch_size, shapes, prefetch=4, threads=min(4, cores()))

    def configure(self, allocate: Any, normalize_on_host: bool) -> None:
        """See BatchSource; the threads normalize."""

    def first_of(self, tops: Any, count: int) -> Any:
        """See BatchSource: regions are not rows of one image each."""
        return tops

    def start_batch(self, pool: Executor, position: int) -> PendingTops:
        """Start to read the images of a batch."""
        numbers = self.sampler.numbers(position, self.batch_size)
        return PendingTops(pool.submit(self._tops, self.sampler.indices(numbers).tolist(), int(numbers[0])))

    def _tops(self, indices: list[int], number: int) -> tuple[Array, ...]:
        random = np.random.Generator(generator(self.sampler.seed, AUGMENT, number << 16))
        found = [self.records.read(index, int(random.choice(self.layer.scales))) for index in indices]
        data = _joined([image for image, _, _ in found])
        tops = self.objects_of(found[0]) if self.layer.has_rpn else self._regions(found, random)
        return (data, *(np.ascontiguousarray(top, np.float32) for top in tops))

    def objects_of(self, found: tuple[Array, float, RegionImage]) -> tuple[Array, ...]:
        """The image's height, width and scale, and its objects."""
        image, scale, objects = found
        info = np.array([[*image.shape[1:], scale]])
        return info, np.concatenate([objects.boxes, objects.classes[:, None]], 1)

    def _regions(self, found: list[tuple[Array, float, RegionImage]], random: np.random.Generator) -> list[Array]:
        """Regions, labels, codes and weights of all images."""
        each = [self._sampled(i, entry, scale, random) for i, (_, scale, entry) in enumerate(found)]
        return [np.concatenate(one) for one in zip(*each)]

    def _sampled(self, image: int, entry: RegionImage, scale: float, random: np.random.Generator) -> list[Array]:
        layer = self.layer
        boxes = np.concatenate([entry.boxes, entry.proposals])
        shared = overlaps(boxes / scale, entry.boxes / scale)
        nearest, most = shared.argmax(1), shared.max(1)
        chosen, positives = sampled(most, layer, layer.num_rois // self.batch_size, random)
        labels = entry.classes[nearest[chosen]].copy()
        labels[positives:] = 0
        codes = codes_of(boxes[chosen], entry.boxes[nearest[chosen]])
        codes = (codes - layer.bbox_normalize_means) / layer.bbox_normalize_stds
        wide, weights = (np.zeros((len(chosen), layer.num_classes, 4)) for _ in range(2))
        at = (np.arange(positives), labels[:positives].astype(int))
        wide[at], weights[at] = codes[:positives], 1
        regions = np.concatenate([np.full((len(chosen), 1), image), boxes[chosen]], 1)
        flat = weights.reshape(len(chosen), -1)
        return [regions, labels, wide.reshape(len(chosen), -1), flat, flat]


class PendingTops:
    """A batch that is being read."""

    def __init__(self, future: Future[tuple[Array, ...]]) -> None:
        self._future = future
        self.cancel = future.cancel

    def result(self) -> Batch:
        """Wait for the batch. Raises NetcError E504 for an image that cannot be read."""
        return Batch(self._future.result())


def _joined(planes: list[Array]) -> Array:
    """Images of any extents, padded with 0 below and to the right (n, 3, h, w)."""
    height, width = (max(image.shape[axis] for image in planes) for axis in (1, 2))
    result = np.zeros((len(planes), 3, height, width), np.float32)
    for target, image in zip(result, planes):
        target[:, : image.shape[1], : image.shape[2]] = image
    return result


def _mirrored(boxes: Array, width: int) -> Array:
    return np.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], 1)


def _proposals(name: str, resolve: ResolvePath) -> dict[str, Array]:
    """The boxes of each image in a text file. Raises NetcError E501 and E506."""
    found: dict[str, list[list[float]]] = {}
    for number, line in enumerate(read_text(resolve(name), name, FIELD).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            box = [float(word) for word in words[1:]]
        except ValueError:
            box = []
        if len(box) != 4 or not np.isfinite(box).all():
            message = f"line {number} of `{name}` is not an image and the corners of a box: `{line[:60]}`"
            raise NetcError(message, code="E506", field=FIELD)
        found.setdefault(Path(words[0]).stem, []).append(box)
    return {image: np.array(boxes) for image, boxes in found.items()}
