"""Noise that SSD's fork applies to the pixels of a resized image (weiliu89/caffe, `im_transforms.cpp`, ApplyNoise).

The data package applies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.augmentation import Augmentation


@dataclass(frozen=True)
class SaltPepper(Augmentation):
    """Overwrites random pixels."""

    fraction: float = 0.0
    """Fraction of all pixels; one may be chosen twice."""
    value: tuple[float, ...] = ()
    """New value of the pixels, or one value per channel."""

    message: ClassVar[str] = "noise_param.saltpepper_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if not 0 <= self.fraction <= 1:
            self.fail("fraction", f"must be from 0 to 1, got {self.fraction:g}")
        if any(not 0 <= value <= 255 for value in self.value):
            self.fail("value", "must be from 0 to 255")


@dataclass(frozen=True)
class Noise(Augmentation):
    """Steps on the pixels after the resize, in this order; each is applied if set."""

    decolorize: bool = False
    """Convert to gray, in three channels."""
    gauss_blur: bool = False
    """Gaussian blur of 7x7 pixels, with a standard deviation of 1.5."""
    hist_eq: bool = False
    """Equalize the histogram, of the luma of a color image."""
    clahe: bool = False
    """Adaptive equalization in 8x8 tiles, clipped at 4 (Zuiderveld 1994)."""
    jpeg: float = -1.0
    """Quality of a JPEG compression, from 1 to 100; 0 and below do not compress."""
    erode: bool = False
    """Minimum of each pixel and its four neighbors."""
    posterize: bool = False
    """Reduce to four values per channel: 32, 96, 160, 224."""
    inverse: bool = False
    saltpepper: bool = False
    saltpepper_param: SaltPepper = SaltPepper()
    convert_to_hsv: bool = False
    convert_to_lab: bool = False
    """Rejected: SSD reads the resulting floats as bytes."""
    prob: float = 0.0
    """SSD reads it and changes every image; values other than 0 (unset) and 1 are rejected."""

    message: ClassVar[str] = "noise_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if self.prob not in (0, 1):
            self.fail("prob", f"must be 0 or 1, got {self.prob:g}: SSD changes every image")
        if self.jpeg > 100:
            self.fail("jpeg", f"must be at most 100, got {self.jpeg:g}")
        if self.convert_to_lab:
            self.fail("convert_to_lab", "is not supported: SSD reads the resulting floats as bytes")
        self.saltpepper_param.check()
        if self.saltpepper and not self.saltpepper_param.value:
            self.fail("saltpepper", "requires `value` in `saltpepper_param`")

    @property
    def needs_color(self) -> bool:
        """Whether a step needs a color image."""
        return self.decolorize or self.convert_to_hsv
