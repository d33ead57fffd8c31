"""The size to which ImageData resizes an image: Caffe's fields and those of forks, as a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netc.ir.augmentation import Size, single


@dataclass(frozen=True)
class ImageSize:
    """How an image is resized when it is read.

    >>> ImageSize(new_height=30, new_width=40).of((60, 70)), ImageSize().of((60, 70))
    ((30, 40), (60, 70))
    >>> ImageSize(short_side=20).of((60, 70)), ImageSize(new_dim=20).of((60, 71)), ImageSize(min_width=90).of((60, 70))
    ((20, 23), (20, 24), (77, 90))
    """

    new_height: int = 0
    new_width: int = 0
    min_height: int = 0
    min_width: int = 0
    short_side: int = 0
    new_dim: int = 0
    bicubic: bool = False

    @property
    def cubic(self) -> bool:
        """Whether images are resized by bicubic interpolation instead of bilinear."""
        return self.bicubic and self.new_dim > 0

    @property
    def fixed(self) -> Size | None:
        """The size of every image; None if it depends on the image."""
        shorter = self.short_side or self.new_dim
        return (self.new_height, self.new_width) if self.new_height and self.new_width and not shorter else None

    def of(self, image: Size) -> Size:
        """The size of an image after it is resized, in the arithmetic of the forks."""
        h, w = image
        if self.short_side:
            side = self.short_side
            return (h * side // w, side) if h > w else (side, w * side // h)
        if self.new_dim:
            scale = single(self.new_dim / min(h, w))
            return (_rounded(scale * h), self.new_dim) if h >= w else (self.new_dim, _rounded(scale * w))
        if self.fixed is not None:
            return self.fixed
        return self._at_least(h, w)

    def _at_least(self, h: int, w: int) -> Size:
        if h >= self.min_height and w >= self.min_width:
            return h, w
        if self.min_width - w > self.min_height - h:
            return int(single(self.min_width * single(h / w)) + 0.5), self.min_width
        return self.min_height, int(single(self.min_height * single(w / h)) + 0.5)


def _rounded(value: float) -> int:
    return math.floor(single(value) + 0.5)
