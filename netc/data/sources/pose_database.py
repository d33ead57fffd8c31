"""CPMData: records with images, masks and the joints of people (`cpm_data_transformer.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data.pipeline.prefetch import PrefetchingSource
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.data.pose_maps import gaussians, maps_of
from netc.data.records import MAX_SKIPS
from netc.data.sources.database import KeyIndex, raw_image
from netc.data.sources.datum import read_datum
from netc.data.sources.flow_database import PendingArrays
from netc.diagnostics import NetcError
from netc.ir.transform import MAX_PIXELS

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from netc.data.batch import Allocate, Array
    from netc.data.pipeline.sampling import Sampler
    from netc.data.stores.store import Store

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
FIELD = "data_param.source"
PLANES, ANNOTATION, MASK = 6, 3, 4
"""Planes of a record, and those of the annotation and of the mask."""
GRAY, UNMASKED = 128, 255
"""What surrounds an image and its mask."""
OUTSIDE, UNLABELED = 2, 3
"""Visibility of joints outside of the image, and of those that the data set does not label; 0 is hidden, 1 visible."""


@dataclass(frozen=True)
class People:
    """The annotation of a record; the first person is in the center."""

    center: Floats
    """x and y of the person in the center."""
    scale: float
    """Its height as a fraction of 368 pixels."""
    joints: Floats
    """x and y of the joints of all people (people, joints, 2)."""
    visible: npt.NDArray[np.int64]
    """(people, joints)"""

    def moved(self, matrix: npt.NDArray[np.float64]) -> People:
        """The people after an affine map of the image (2, 3)."""
        linear, offset = matrix[:, :2].T, matrix[:, 2]
        center, joints = (np.asarray(at @ linear + offset, np.float32) for at in (self.center, self.joints))
        return replace(self, center=center, joints=joints)


def read_people(rows: Bytes, count: int) -> People:
    """The annotation in a plane of a record, with `count` joints per person. Raises ValueError for a damaged one."""
    height, width = rows.shape
    if width < max(15, 4 * count) or height < 9:
        raise ValueError(f"its {height}x{width} pixels do not hold {count} joints")
    others = int(rows[2, 1])
    if height < 9 + 4 * others or width < 4 * others:
        raise ValueError(f"its {height}x{width} pixels do not hold {others + 1} people")

    def floats(row: int, number: int) -> Floats:
        return np.frombuffer(rows[row].tobytes(), "<f4", number)

    size = floats(1, 2)[::-1]
    first = [5, *range(9 + others, 9 + 4 * others, 3)]
    raw = np.stack([[floats(row + part, count) for part in range(3)] for row in first])
    joints, visible = raw[:, :2].transpose(0, 2, 1) - 1, raw[:, 2]
    center, scale = floats(3, 2) - 1, float(floats(4, 1)[0])
    if not (np.isfinite(joints).all() and np.isfinite(center).all() and np.isfinite(scale) and scale > 0):
        raise ValueError("its annotation has a scale or places that are not numbers, or not positive")
    outside = ((joints < 0) | (joints >= size)).any(2)
    unlabeled = visible == UNLABELED
    unlabeled[1:] = False
    states = np.where(unlabeled, UNLABELED, np.where(outside, OUTSIDE, (visible != 0).astype(np.int64)))
    return People(center, scale, joints.astype(np.float32), states)


class PoseRecords:
    """The records of a CPMData layer. Raises NetcError E502 for an empty database."""

    def __init__(self, layer: Any, store: Store) -> None:
        self.layer, self.store, self.name = layer, store, store.name
        self._keys = KeyIndex(store)
        if not len(self._keys):
            raise NetcError(f"database `{self.name}` is empty", code="E502", field=FIELD)

    def __len__(self) -> int:
        """Number of records."""
        return len(self._keys)

    def describe(self, index: int) -> str:
        """The record, for a message."""
        return f"record `{self._keys[index].decode('utf-8', 'backslashreplace')}` of `{self.name}`"

    def read(self, index: int, random: np.random.Generator | None) -> tuple[Floats, Floats]:
        """The image and the maps of a record; `random` is None without augmentation. Raises NetcError E503."""
        import cv2

        with self.store.reading() as get:
            value = bytes(get(self._keys[index]) or b"")
        try:
            return self._tops(value, random)
        except (ValueError, cv2.error) as error:
            raise NetcError(f"{self.describe(index)}: {error}", code="E503", field=FIELD) from None

    def _tops(self, value: bytes, random: np.random.Generator | None) -> tuple[Floats, Floats]:
        layer, skeleton = self.layer, self.layer.skeleton
        datum = read_datum(value)
        planes: Any = None if datum.encoded else raw_image(datum)
        if planes is None or planes.dtype != np.uint8 or len(planes) != PLANES:
            raise ValueError(f"it does not have {PLANES} planes of bytes")
        people = read_people(planes[ANNOTATION], layer.np_in_lmdb)
        if layer.transform_body_joint:
            people = _of_skeleton(people, skeleton)
        image = _toned(np.ascontiguousarray(planes[:3].transpose(1, 2, 0)), layer)
        image, mask, people = augmented(image, planes[MASK], people, layer, random)
        return self._image(image, people), self._label(mask, people)

    def _image(self, image: Bytes, people: People) -> Floats:
        layer = self.layer
        top = np.zeros((PLANES, layer.crop_size_y, layer.crop_size_x), np.float32)
        top[:3] = (image.transpose(2, 0, 1).astype(np.float32) - GRAY) / 256
        top[3] = gaussians(people.center[None], top.shape[1:], 1, layer.sigma_center)
        return top

    def _label(self, mask: Bytes, people: People) -> Floats:
        import cv2

        layer = self.layer
        (height, width), count = layer.grid, layer.num_parts
        weights = cv2.resize(mask, None, fx=1 / layer.stride, fy=1 / layer.stride, interpolation=cv2.INTER_CUBIC)
        label = np.empty((2 * (count + 1), height, width), np.float32)
        label[: count + 1] = weights[:height, :width].astype(np.float32) / UNMASKED
        # As in the original, the joints that are not labeled count for the maps of the same numbers.
        label[np.flatnonzero(people.visible[0] == UNLABELED)] = 0
        label[count + 1 :] = maps_of(
            layer.skeleton, people.joints, people.visible, layer.grid, layer.stride, layer.sigma
        )
        return label


def _of_skeleton(people: People, skeleton: Any) -> People:
    """The people with the joints of a skeleton."""
    first, second = (np.array([pair[side] for pair in skeleton.stored]) for side in (0, 1))
    a, b = people.visible[:, first], people.visible[:, second]
    visible = ((a != 0) & (b != 0)).astype(np.int64)
    if skeleton.knows_unlabeled:
        visible[(a == UNLABELED) | (b == UNLABELED)] = UNLABELED
    visible[(a == OUTSIDE) | (b == OUTSIDE)] = OUTSIDE
    joints = (people.joints[:, first] + people.joints[:, second]) * np.float32(0.5)
    return replace(people, joints=joints, visible=visible)


def _toned(image: Bytes, layer: Any) -> Bytes:
    """The image (h, w, 3) with equalized contrast, or gray."""
    import cv2

    if layer.do_clahe:
        lab = cv2.cvtColor(image, cv2.COLOR_BGR2Lab)
        equalizer = cv2.createCLAHE(int(layer.clahe_clip_limit), (layer.clahe_tile_size,) * 2)
        lab[:, :, 0] = equalizer.apply(lab[:, :, 0])
        image = np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR), np.uint8)
    if layer.gray == 1:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    return image


def augmented(
    image: Bytes, mask: Bytes, people: People, layer: Any, random: np.random.Generator | None
) -> tuple[Bytes, Bytes, People]:
    """Scale, rotate, crop and mirror an image (h, w, 3) with its mask and people. Raises ValueError for a large one."""
    import cv2

    dice = np.full(6, 0.5) if random is None else random.random(6)
    factor = 1.0
    if random is not None and dice[0] <= layer.scale_prob:
        factor = (layer.scale_max - layer.scale_min) * dice[1] + layer.scale_min
    scale = layer.target_dist / people.scale * factor
    if image.shape[0] * image.shape[1] * scale * scale > MAX_PIXELS:
        raise ValueError(f"scaled by {scale:g} its image is larger than the limit")
    image, mask = (
        np.asarray(cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
        for one in (image, mask)
    )
    people = people.moved(np.array([[scale, 0, 0], [0, scale, 0]]))
    if random is not None:
        image, mask, people = _rotated(image, mask, people, (dice[2] - 0.5) * 2 * layer.max_rotate_degree)
    offset = ((dice[3:5] - 0.5) * 2 * layer.center_perterb_max).astype(int)
    image, mask, people = _cropped(image, mask, people, offset, layer)
    if random is not None and dice[5] <= layer.flip_prob:
        people = people.moved(np.array([[-1, 0, layer.crop_size_x - 1], [0, 1, 0]]))
        if layer.transform_body_joint:
            people = _exchanged(people, layer.skeleton)
        image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return image, mask, people


def _rotated(image: Bytes, mask: Bytes, people: People, degrees: float) -> tuple[Bytes, Bytes, People]:
    """Rotate around the center of the image, into the rectangle that encloses it."""
    import cv2

    height, width = image.shape[:2]
    center = (width / 2, height / 2)
    corners = cv2.boxPoints((center, (width, height), degrees))
    low, high = np.floor(corners.min(0)), np.ceil(corners.max(0))
    size = [int(extent) for extent in high - low + 1]
    matrix = np.asarray(cv2.getRotationMatrix2D(center, degrees, 1.0), np.float64)
    matrix[:, 2] += np.array(size) / 2 - center
    turned = [
        cv2.warpAffine(one, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=border)
        for one, border in ((image, (GRAY,) * 3), (mask, (UNMASKED,)))
    ]
    return np.asarray(turned[0], np.uint8), np.asarray(turned[1], np.uint8), people.moved(matrix)


def _cropped(
    image: Bytes, mask: Bytes, people: People, offset: npt.NDArray[np.int64], layer: Any
) -> tuple[Bytes, Bytes, People]:
    """The crop around the person, moved by an offset; what is beyond the image is gray."""
    size = np.array([layer.crop_size_x, layer.crop_size_y])
    corner = np.trunc(people.center + offset).astype(np.int64) - size // 2
    extents = np.array(image.shape[1::-1])
    start, end = np.clip(corner, 0, extents), np.clip(corner + size, 0, extents)
    (x0, y0), (x1, y1) = start - corner, end - corner
    crop = np.full((size[1], size[0], 3), GRAY, np.uint8)
    cropped_mask = np.full((size[1], size[0]), UNMASKED, np.uint8)
    if (end > start).all():
        crop[y0:y1, x0:x1] = image[start[1] : end[1], start[0] : end[0]]
        cropped_mask[y0:y1, x0:x1] = mask[start[1] : end[1], start[0] : end[0]]
    return crop, cropped_mask, people.moved(np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]))


def _exchanged(people: People, skeleton: Any) -> People:
    """The people with left and right joints exchanged."""
    order = np.arange(skeleton.joints)
    for right, left in skeleton.mirrored:
        order[[right, left]] = left, right
    return replace(people, joints=people.joints[:, order], visible=people.visible[:, order])


class PoseSource(PrefetchingSource["PendingArrays"]):
    """Batches of images and maps; see `BatchSource`."""

    normalization = None

    def __init__(self, records: PoseRecords, sampler: Sampler, train: bool, threads: int, skip_bad: bool) -> None:
        layer = records.layer
        shapes = tuple(shape[1:] for shape in layer.batch(None, 2))
        super().__init__(records.name, sampler, layer.batch_size, shapes, layer.prefetch, threads)
        self.records, self.train, self.skip_bad = records, train, skip_bad
        self.skipped: dict[str, NetcError] = {}

    def configure(self, allocate: Allocate, normalize_on_host: bool) -> None:
        """See BatchSource; the tops are complete as they are read."""

    def release(self) -> None:
        """Close the database."""
        self.records.store.close()

    def start_batch(self, pool: Executor, position: int) -> PendingArrays:
        """Start to read a batch."""
        numbers = self.sampler.numbers(position, self.batch_size)
        indices = self.sampler.indices(numbers) % len(self.records)
        return PendingArrays(pool.submit(self._read, indices.tolist(), numbers.tolist(), self.sampler.seed))

    def _read(self, indices: list[int], numbers: list[int], seed: int) -> tuple[Array, ...]:
        shapes = self.records.layer.batch(None, 2)
        images, labels = (np.empty(shape, np.float32) for shape in shapes)
        for row, (index, number) in enumerate(zip(indices, numbers)):
            images[row], labels[row] = self._usable(index, number, seed)
        return images, labels

    def _usable(self, index: int, number: int, seed: int) -> tuple[Floats, Floats]:
        """The tops of a record, or with `skip_bad` those of the next one that can be used."""
        for step in range(MAX_SKIPS if self.skip_bad else 1):
            random = np.random.Generator(generator(seed, AUGMENT, number << 64)) if self.train else None
            try:
                return self.records.read((index + step) % len(self.records), random)
            except NetcError as error:
                if not self.skip_bad or step + 1 == MAX_SKIPS:
                    raise
                self.skipped[self.records.describe(index + step)] = error
        raise AssertionError("the last attempt returns or raises")
