"""What SSD's fork does to the pixels of an image of the right size (weiliu89/caffe, `im_transforms.cpp`, ApplyNoise).

The data package does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netc.ir.augmentation import Augmentation


@dataclass(frozen=True)
class SaltPepper(Augmentation):
    """Pixels that are overwritten."""

    fraction: float = 0.0
    """Of all pixels; one may be hit twice."""
    value: tuple[float, ...] = ()
    """What they become: one value, or one a channel."""

    message: ClassVar[str] = "noise_param.saltpepper_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if not 0 <= self.fraction <= 1:
            self.fail("fraction", f"{self.fraction:g} is no fraction: it must be from 0 to 1")
        if any(not 0 <= value <= 255 for value in self.value):
            self.fail("value", "must be bytes, from 0 to 255")


@dataclass(frozen=True)
class Noise(Augmentation):
    """Steps on the pixels after the resize, each done where asked, in this order."""

    decolorize: bool = False
    """Gray, in three channels."""
    gauss_blur: bool = False
    """By 7x7 pixels, with a standard deviation of 1.5."""
    hist_eq: bool = False
    """An even histogram, of the luma where there are colors."""
    clahe: bool = False
    """The same in 8x8 parts, clipped at 4 (Zuiderveld 1994)."""
    jpeg: float = -1.0
    """Compressed with this quality, from 1 to 100, and decoded; nothing from 0 down."""
    erode: bool = False
    """The least of each pixel and its four neighbours."""
    posterize: bool = False
    """Four values a channel: 32, 96, 160, 224."""
    inverse: bool = False
    saltpepper: bool = False
    saltpepper_param: SaltPepper = SaltPepper()
    convert_to_hsv: bool = False
    convert_to_lab: bool = False
    """Refused: SSD reads what it gets, floats, as bytes."""
    prob: float = 0.0
    """SSD reads it and changes every image; anything but 0 (not given) and 1 is refused."""

    message: ClassVar[str] = "noise_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if self.prob not in (0, 1):
            self.fail("prob", f"{self.prob:g} would leave some images as they are: SSD changes them all")
        if self.jpeg > 100:
            self.fail("jpeg", f"{self.jpeg:g} is no quality: it must be up to 100")
        if self.convert_to_lab:
            self.fail("convert_to_lab", "gives floats, which SSD then reads as bytes")
        self.saltpepper_param.check()
        if self.saltpepper and not self.saltpepper_param.value:
            self.fail("saltpepper", "needs `value` in `saltpepper_param`")

    @property
    def needs_color(self) -> bool:
        """Whether something is done that gray images cannot take."""
        return self.decolorize or self.convert_to_hsv
