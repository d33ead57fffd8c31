"""What changes the size of an image and its label map before they are cropped: random scales, and padding.

Rules from `data_transformer.cpp`, TransformImgAndSeg, in DeepLab's Caffe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.data import images
from netc.data.label_map import resized
from netc.data.pipeline.sampling import AUGMENT, generator

if TYPE_CHECKING:
    from netc.data.records import Record


class LabelMapAugmenter:
    """Resizes an image and its label map by one of several factors at random, and pads them to a crop."""

    def __init__(self, scale_factors: tuple[float, ...], padded: tuple[int, int], ignored: int) -> None:
        """`padded` is the smallest height and width; zeros pad nothing. Padding of maps is `ignored`."""
        self._factors, self._least, self._ignored = scale_factors, padded, ignored

    @property
    def active(self) -> bool:
        """Whether any step is set."""
        return bool(self._factors) or any(self._least)

    def record(self, record: Record, seed: int, number: int) -> Record:
        """The record in its new size; its number is that over all epochs.

        Raises ValueError for a size beyond the limit or without pixels.
        """
        if self._factors:
            random = np.random.Generator(generator(seed, AUGMENT, number << 64))
            record = scaled(record, self._factors[int(random.integers(len(self._factors)))])
        return padded(record, self._least, self._ignored) if any(self._least) else record


def scaled(record: Record, factor: float) -> Record:
    """The record with extents multiplied by a factor, in float32, and rounded down."""
    height, width = (int(np.float32(extent) * np.float32(factor)) for extent in record.image.shape[1:])
    if min(height, width) < 1:
        raise ValueError(f"`scale_factors` {factor:g} leaves no pixels")
    size = height, width
    return record._replace(image=images.resize(record.image, size), label=resized(record.label, size))


def padded(record: Record, least: tuple[int, int], ignored: int) -> Record:
    """The record padded at the right and bottom to a height and width, if it is smaller."""
    c, h, w = record.image.shape
    height, width = max(h, least[0]), max(w, least[1])
    if (height, width) == (h, w):
        return record._replace(valid=(0, 0, h, w))
    image = np.zeros((height, width, c), record.image.dtype)
    label = np.full((1, height, width), ignored, np.uint8)
    image[:h, :w] = record.image.transpose(1, 2, 0)
    label[:, :h, :w] = record.label
    return record._replace(image=images.planes(image), label=label, valid=(0, 0, h, w))
