"""Boxes that move with their image: through an expansion, a cut, a resize, the crop and the mirror.

Coordinates are fractions of the image, in float32 as in SSD (weiliu89/caffe, `data_transformer.cpp`,
TransformAnnotation; `bbox_util.cpp`; `im_transforms.cpp`, UpdateBBoxByResizePolicy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from netc.data.sources.annotated_datum import COLUMNS, Annotations, Boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from netc.data.batch import Array
    from netc.ir.augmentation import Resize
    from netc.ir.box_sampling import EmitConstraint

COORDINATES = slice(2, 6)
"""Columns of a row of boxes: xmin, ymin, xmax, ymax."""


class BoxRegion(NamedTuple):
    """The part of a resized image that a batch holds."""

    size: tuple[int, int]
    """Height and width of the resized image."""
    offset: tuple[int, int]
    """Row and column of the part's first pixel."""
    extents: tuple[int, int]
    """Height and width of the part."""
    mirror: bool = False

    def fractions(self) -> Array:
        """xmin, ymin, xmax, ymax (4) of the part, in fractions of the image."""
        (height, width), (y, x), (h, w) = self.size, self.offset, self.extents
        sides: Array = np.array([x, y, x + w, y + h], np.float32)
        return sides / np.array([width, height, width, height], np.float32)


class AnnotatedTransform(Protocol):
    """The fields of a transform that affect boxes after the parts are cut."""

    @property
    def resize_param(self) -> Resize | None: ...
    @property
    def emit_constraint(self) -> EmitConstraint | None: ...


class BoxTransform:
    """Moves the boxes of an image by its resize, crop and mirror."""

    def __init__(self, transform: AnnotatedTransform) -> None:
        self._resize, self._emit = transform.resize_param, transform.emit_constraint

    def __call__(self, annotations: Annotations, region: BoxRegion) -> Boxes:
        """The boxes (k, 7) in the part of the image that a batch holds.

        Raises ValueError for a part smaller than `height_scale` and `width_scale`.
        """
        boxes, before = annotations.boxes, annotations.before_resize
        if self._resize is not None and before is not None:
            boxes = resized(boxes, before, self._resize)
        part = region.fractions()
        boxes = projected(boxes, part, self._emit)
        if region.mirror:
            boxes[:, [2, 4]] = 1 - boxes[:, [4, 2]]
        if self._resize is not None and before is not None:
            boxes = extrapolated(boxes, before, self._resize, part)
        return boxes


def projected(boxes: Boxes, part: Array, emit: EmitConstraint | None) -> Boxes:
    """The boxes that are kept, in fractions of a part of the image, cut off at its edges; always a copy.

    >>> boxes = np.array([[1, 0, 0.25, 0.25, 0.75, 0.75, 0], [2, 0, 0.5, 0, 1, 0.5, 0]], np.float32)
    >>> projected(boxes, np.array([0, 0, 0.5, 1], np.float32), None).tolist()
    [[1.0, 0.0, 0.5, 0.25, 1.0, 0.75, 0.0]]
    """
    sides: Array = boxes[:, COORDINATES]
    origin, extent = np.tile(part[:2], 2), np.tile(part[2:] - part[:2], 2)
    with np.errstate(all="ignore"):  # damaged boxes are not finite, and are dropped
        moved = np.clip((sides - origin) / extent, 0, 1)
        kept = (sides[:, :2] < part[2:]).all(1) & (sides[:, 2:] > part[:2]).all(1) & (areas(moved) > 0)
        if emit is not None:
            kept &= _emitted(sides, part, emit)
    result = boxes.copy()
    result[:, COORDINATES] = moved
    return result[kept]


def _emitted(sides: Array, part: Array, emit: EmitConstraint) -> Array:
    if emit.emit_type == "CENTER":
        center = (sides[:, :2] + sides[:, 2:]) / 2
        return np.asarray(((center >= part[:2]) & (center <= part[2:])).all(1))
    return overlaps(sides, part[None])[:, 0] / areas(sides) > emit.emit_overlap


def areas(sides: Array) -> Array:
    """The area of each box (k, 4); 0 if it is inverted."""
    extents = sides[..., 2:] - sides[..., :2]
    return np.where((extents < 0).any(-1), np.float32(0), extents[..., 0] * extents[..., 1])


def overlaps(sides: Array, others: Array) -> Array:
    """The area of the intersection of each box (k, 4) with each of others (n, 4): (k, n)."""
    low = np.maximum(sides[:, None, :2], others[None, :, :2])
    high = np.minimum(sides[:, None, 2:], others[None, :, 2:])
    extents = high - low
    return np.where((extents <= 0).any(-1), np.float32(0), extents[..., 0] * extents[..., 1])


def resized(boxes: Boxes, size: tuple[int, int], resize: Resize) -> Boxes:
    """The boxes of an image of this height and width in fractions of the resized one; padding moves them."""
    result = boxes.copy()
    old = _pair(size)
    inner, padding, outer = fitted(size, resize)
    limit = np.tile(outer, 2)
    moved = result[:, COORDINATES] * np.tile(old, 2) * np.tile(inner, 2) / np.tile(old, 2)
    moved[:, :2] = np.maximum(moved[:, :2], 0)
    moved[:, 2:] = np.minimum(moved[:, 2:], limit[:2])
    result[:, COORDINATES] = (moved + np.tile(padding, 2)) / limit
    return result


def _pair(size: tuple[float, float]) -> Boxes:
    """Width and height of (height, width)."""
    return np.array(size[::-1], np.float32)


def fitted(size: tuple[int, int], resize: Resize) -> tuple[Boxes, Boxes, Boxes]:
    """Width and height of the image in the resized one, the padding at the left and top, and the resized one.

    In SSD they are fractions of pixels, not the rounded sizes of the image.
    """
    new, zero = _pair((resize.height, resize.width)), np.zeros(2, np.float32)
    aspect = np.float32(size[1]) / np.float32(size[0])
    if resize.resize_mode == "WARP":
        return new, zero, new
    wide = bool(aspect > new[0] / new[1])
    by_width, by_height = np.array([new[0], new[0] / aspect]), np.array([aspect * new[1], new[1]])
    if resize.resize_mode == "FIT_SMALL_SIZE":
        covering = by_height if wide else by_width
        return covering, zero, covering
    inner = by_width if wide else by_height
    return inner, (new - inner) / 2, new


def extrapolated(boxes: Boxes, size: tuple[int, int], resize: Resize, part: Array) -> Boxes:
    """With FIT_SMALL_SIZE and `height_scale` and `width_scale`: fractions of that size, in place of the crop's.

    Raises ValueError for a crop smaller than it.
    """
    if resize.resize_mode != "FIT_SMALL_SIZE" or min(resize.height_scale, resize.width_scale) <= 0:
        return boxes
    crop = fitted(size, resize)[2] * (part[2:] - part[:2])
    scale = _pair((resize.height_scale, resize.width_scale))
    if (crop < scale).any():
        found, least = (f"{shape[1]:g}x{shape[0]:g}" for shape in (crop, scale))
        raise ValueError(f"a crop of {found} is smaller than `height_scale` and `width_scale`, {least}")
    boxes[:, COORDINATES] *= np.tile(crop / scale, 2)
    return boxes


def join_boxes(boxes: Sequence[Boxes | None]) -> Array:
    """The boxes of a batch as AnnotatedData's label (1, 1, n, 8): the image's number before each row.

    A batch without boxes is one row of -1.

    >>> one = np.ones((2, 7), np.float32)
    >>> join_boxes([one[:0], one])[0, 0, :, :2].tolist(), join_boxes([one[:0]]).shape
    ([[1.0, 1.0], [1.0, 1.0]], (1, 1, 1, 8))
    """
    found = [rows for rows in boxes if rows is not None]
    numbers = np.repeat(np.arange(len(found), dtype=np.float32), [len(rows) for rows in found])
    if not len(numbers):
        return np.full((1, 1, 1, COLUMNS + 1), -1, np.float32)
    return np.concatenate([numbers[:, None], np.concatenate(found)], 1)[None, None]


def first_boxes(label: Tensor, count: int) -> Tensor:
    """The rows of AnnotatedData's label that belong to the first `count` images of its batch."""
    rows = label[:, :, label[0, 0, :, 0] < count]
    return rows if rows.shape[2] else label.new_full((1, 1, 1, label.shape[3]), -1)
