"""Augmentation of images with boxes: the steps of augmentation.py, and random parts (SSD's `sampler.cpp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.pipeline.augmentation import AugmentedTransform, Augmenter, CvImage, Placement, expanded, expansion
from netc.data.pipeline.boxes import COORDINATES, AnnotatedTransform, areas, overlaps, projected
from netc.data.sources.annotated_datum import Annotations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from netc.data.batch import Array
    from netc.data.sources.annotated_datum import Boxes
    from netc.ir.box_sampling import BatchSampler, PartConstraint, PartShape

    class Transform(AugmentedTransform, AnnotatedTransform, Protocol):
        """What AnnotatedAugmenter reads."""


class AnnotatedAugmenter(Augmenter):
    """Augments images and moves their boxes: after the color distortion and the expansion one random part is cut out.

    The part is one of those that the samplers of the layer find, each with the same probability; if they find none,
    the image stays whole. Without samplers, `jitter` is the largest fraction of each extent that is cut off.
    """

    def __init__(self, transform: Transform, samplers: Sequence[BatchSampler], jitter: float = 0.0) -> None:
        super().__init__(transform)
        self._emit, self._samplers, self._jitter = transform.emit_constraint, samplers, jitter
        self._resizes = transform.resize_param is not None
        self._expansion, self._mean = transform.expand_param, transform.mean_value

    @property
    def active(self) -> bool:
        """Whether any step is set."""
        return super().active or bool(self._samplers) or self._jitter > 0

    def parts(self, image: CvImage, label: Any, random: np.random.Generator) -> tuple[CvImage, Any]:
        """The expanded image, a part cut out of it, and its boxes. A label that is a number stays."""
        whole = not isinstance(label, Annotations)
        boxes = np.empty((0, 7), np.float32) if whole else label.boxes
        place = expansion(image.shape[:2], self._expansion, random) if self._expansion is not None else None
        if place is not None:
            boxes = projected(boxes, outer(image.shape[:2], place), self._emit)
            image = expanded(image, place, self._mean)
        part = chosen_part(boxes, self._samplers, random) if self._samplers else jittered(self._jitter, random)
        if part is not None:
            boxes = projected(boxes, part, self._emit)
            image = cut(image, part)
        size = (image.shape[0], image.shape[1])
        return image, label if whole else Annotations(boxes, size if self._resizes else None)


def outer(size: tuple[int, ...], place: Placement) -> Array:
    """The larger image around one of this height and width, in fractions of the latter."""
    sides: Array = np.array([-place.left, -place.top, place.width - place.left, place.height - place.top], np.float32)
    return sides / np.array([size[1], size[0]] * 2, np.float32)


def cut(image: CvImage, part: Array) -> CvImage:
    """The pixels of a part of an image, at least one; rounded down, as by SSD, which fails where nothing is left."""
    height, width = image.shape[:2]
    left, top, right, bottom = (part * np.array([width, height] * 2, np.float32)).tolist()
    y, x = min(int(top), height - 1), min(int(left), width - 1)
    return image[y : y + max(1, int(bottom - top)), x : x + max(1, int(right - left))]


def chosen_part(boxes: Boxes, samplers: Sequence[BatchSampler], random: np.random.Generator) -> Array | None:
    """One of the parts that the samplers find; None if they find none."""
    found = [parts_of(sampler, boxes, random) for sampler in samplers if sampler.use_original_image]
    parts = np.concatenate(found) if found else np.empty((0, 4), np.float32)
    return parts[int(random.integers(len(parts)))] if len(parts) else None


def jittered(jitter: float, random: np.random.Generator) -> Array | None:
    """A part without random margins, each side at least 1 - jitter (GenerateJitterSamples of YOLO's ports)."""
    if not jitter:
        return None
    extents = random.uniform(1 - jitter, 1, 2)
    low = random.uniform(0, 1, 2) * (1 - extents)
    return np.concatenate([low, low + extents]).astype(np.float32)


def parts_of(sampler: BatchSampler, boxes: Boxes, random: np.random.Generator) -> Array:
    """The parts (n, 4) that a sampler finds in its trials: those that meet its constraint, up to `max_sample`."""
    parts = random_parts(sampler.sampler, sampler.max_trials, random)
    kept = parts[meets(parts, boxes[:, COORDINATES], sampler.sample_constraint)]
    return kept if sampler.max_sample is None else kept[: sampler.max_sample]


def random_parts(shape: PartShape, count: int, random: np.random.Generator) -> Array:
    """Parts (count, 4) of random size, aspect ratio and position, in fractions of the image."""
    scale = random.uniform(shape.min_scale, shape.max_scale, count)
    ratio = random.uniform(shape.min_aspect_ratio, shape.max_aspect_ratio, count)
    root = np.sqrt(np.clip(ratio, scale**2, 1 / scale**2))
    extents = np.minimum(np.stack([scale * root, scale / root], 1), 1)
    low = random.uniform(0, 1, (count, 2)) * (1 - extents)
    return np.asarray(np.clip(np.concatenate([low, low + extents], 1), 0, 1), np.float32)


def meets(parts: Array, sides: Array, constraint: PartConstraint) -> Array:
    """Which parts (n, 4) overlap at least one of the boxes (k, 4) as the constraint requires (n)."""
    limits = constraint.limits
    if limits is None:
        return np.ones(len(parts), np.bool_)
    kind, low, high = limits
    shared, part_areas, box_areas = overlaps(parts, sides), areas(parts)[:, None], areas(sides)[None]
    whole = {
        "jaccard_overlap": part_areas + box_areas - shared,
        "sample_coverage": part_areas,
        "object_coverage": box_areas,
    }[kind]
    with np.errstate(all="ignore"):  # boxes without an area
        ratio = np.where(shared > 0, shared / whole, 0)
    beyond: Array = np.zeros(ratio.shape, np.bool_)
    if low is not None:
        beyond |= ratio < np.float32(low)
    if high is not None:
        beyond |= ratio > np.float32(high)
    return np.asarray((~beyond).any(1))
