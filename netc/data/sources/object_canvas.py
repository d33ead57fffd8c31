"""A part of an image, and what moves with the image: objects, regions, its projection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from netc.data.batch import Array
    from netc.data.sources.object_file import ObjectImage

Floats = npt.NDArray[Any]
X, Y = slice(2, 6, 2), slice(3, 6, 2)
"""Columns of an object's corners along each axis."""
ENLARGED = 1.5
"""Factor above which an image is cropped before it is enlarged, to `MARGIN` of its size."""
MARGIN = 1.2


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
