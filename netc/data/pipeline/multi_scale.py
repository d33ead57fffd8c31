"""Crops of several sizes, resized to one: yjxiong's `multi_scale` and `original_image` (`data_transformer.cpp`)."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from netc.data.images import planes
from netc.data.pipeline.cropping import fixed_places
from netc.data.pipeline.sampling import AUGMENT, generator
from netc.ir.augmentation import single

if TYPE_CHECKING:
    from netc.data.images import Image
    from netc.data.records import Record
    from netc.ir.transform import Transform

RATIOS = (1.0, 0.875, 0.75, 0.66)
"""Sizes of crops in relation to the shorter side, unless `scale_ratios` are given."""
NEARLY = 3
"""A size that differs by less than this from the net's is the net's."""
AREA, ASPECT = (0.6, 1.0), (0.8, 1.25)
"""Bounds of the area of a part of an image, in relation to the whole, and of its width to its height."""
ATTEMPTS = 10


class MultiScaleCrop:
    """Crops an image, and resizes the crop to the size that the net expects."""

    active = True

    def __init__(self, transform: Transform, train: bool) -> None:
        self._transform, self._train = transform, train

    def record(self, record: Record, seed: int, number: int) -> Record:
        """The record with a part of its image. Raises ValueError for an image smaller than the crop."""
        random = np.random.Generator(generator(seed, AUGMENT, number << 64))
        size = record.image.shape[1:]
        part = self._of_original if self._transform.original_image else self._of_sizes
        y, x, height, width = part(size, random)
        cropped = record.image[:, y : y + height, x : x + width]
        return record._replace(image=self._resized(cropped))

    def _resized(self, image: Image) -> Image:
        crop = self._transform.crop_size
        if image.shape[1:] == (crop, crop) and not self._transform.original_image:
            return image
        mode = cv2.INTER_CUBIC if self._transform.original_image else cv2.INTER_LINEAR
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        return planes(cv2.resize(pixels, (crop, crop), interpolation=mode))

    def _of_sizes(self, size: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """Row, column, height and width of a crop."""
        t, crop = self._transform, self._transform.crop_size
        if min(size) < crop:
            raise ValueError(f"its {size[0]}x{size[1]} pixels are fewer than `crop_size` {crop}")
        if not self._train:
            return (size[0] - crop) // 2, (size[1] - crop) // 2, crop, crop
        sizes = crop_sizes(size, crop, t.scale_ratios or RATIOS, t.max_distort)
        height, width = sizes[int(random.integers(len(sizes)))]
        rows, columns = size[0] - height, size[1] - width
        if t.fix_crop:
            places = fixed_places(rows, columns, t.more_fix_crop)
            y, x = places[int(random.integers(len(places)))]
        else:
            y, x = int(random.integers(rows + 1)), int(random.integers(columns + 1))
        return y, x, height, width

    def _of_original(self, size: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """A random part of the image in training, seven eighths in the middle in testing."""
        h, w = size
        if not self._train:
            return h // 14, w // 14, max(1, h // 8 * 7), max(1, w // 8 * 7)
        height, width = random_size(size, random)
        y = int(random.integers(h - height)) if height < h else 0
        x = int(random.integers(w - width)) if width < w else 0
        return y, x, height, width


def crop_sizes(size: tuple[int, int], crop: int, ratios: tuple[float, ...], max_distort: int) -> list[tuple[int, int]]:
    """The sizes of crops: the shorter side times two of the ratios, at most `max_distort` apart in their list.

    >>> crop_sizes((256, 340), 224, (1.0, 0.875), 0)
    [(256, 256), (224, 224)]
    """
    extents = [int(single(min(size) * single(ratio))) for ratio in ratios]
    extents = [crop if abs(extent - crop) < NEARLY else extent for extent in extents]
    places = itertools.product(enumerate(extents), repeat=2)
    found = [(height, width) for (i, height), (j, width) in places if abs(i - j) <= max_distort]
    return [(height, width) for height, width in found if min(height, width) > 0]


def random_size(size: tuple[int, int], random: np.random.Generator) -> tuple[int, int]:
    """Height and width of random area and aspect ratio within an image."""
    h, w = size
    for _ in range(ATTEMPTS):
        area, aspect = h * w * random.uniform(*AREA), random.uniform(*ASPECT)
        height, width = int(math.sqrt(area / aspect)), int(math.sqrt(area * aspect))
        if 0 < height <= h and 0 < width <= w:
            return height, width
    return max(1, h // 8 * 7), max(1, w // 8 * 7)
