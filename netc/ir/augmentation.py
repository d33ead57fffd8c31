"""The augmentation in forks of Caffe, applied before an image is cropped: sizes, regions and colors, as values.

SSD's ResizeParameter, DistortionParameter and ExpansionParameter (weiliu89/caffe, `im_transforms.cpp` and
`data_transformer.cpp`; its noise is in noise.py), Intel's random sizes and aspect ratios (`data_transformer.cpp`),
NVIDIA's random resizing (`data_transformer.cpp`). The data package applies it; layers infer shapes from it.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN, known
from netc.ir.fields import Fields

Size = tuple[int, int]
"""Height and width."""
_LIMITS: dict[type, int] = {int: 1 << 20, float: 10_000}
"""Limits of extents, and of factors and probabilities."""


@dataclass(frozen=True)
class Augmentation:
    """A message within TransformationParameter as a value; its fields have the names of the message."""

    message: ClassVar[str]
    """The field of TransformationParameter, with dots if nested."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The values of a message. Raises NetcError E103 for invalid values."""
        result = cls(**{f.name: _value(f, fields) for f in dataclasses.fields(cls)})
        for f in dataclasses.fields(cls):
            limit = _LIMITS.get(type(f.default))
            value = getattr(result, f.name)
            if limit is not None and not abs(value) <= limit:  # also for NaN
                result.fail(f.name, f"must be at most {limit}, got {value:g}")
        result.check()
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The message as plain values, without defaults."""
        result = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                result[f.name] = value.to_caffe() if isinstance(value, Augmentation) else value
        return result

    def check(self) -> None:
        """Raises NetcError E103."""

    def fail(self, name: str, problem: str) -> None:
        """Raises NetcError E103 for a field."""
        raise NetcError(f"`{name}` {problem}", code="E103", field=f"transform_param.{self.message}.{name}")


@dataclass(frozen=True)
class Resize(Augmentation):
    """Resize: warp to a size, cover it (FIT_SMALL_SIZE), or fit into it and pad (FIT_LARGE_SIZE_AND_PAD).

    >>> Resize(height=30, width=40, resize_mode="FIT_SMALL_SIZE").size((60, 120))
    (30, 60)
    """

    resize_mode: str = "WARP"
    """`WARP`, `FIT_SMALL_SIZE` or `FIT_LARGE_SIZE_AND_PAD`."""
    height: int = 0
    width: int = 0
    prob: float = 1.0
    """Without effect: SSD resizes every image."""
    pad_mode: str = "CONSTANT"
    """`CONSTANT`, `MIRRORED` or `REPEAT_NEAREST`."""
    pad_value: tuple[float, ...] = ()
    """One value, or one per channel; black by default."""
    interp_mode: tuple[str, ...] = ()
    """`LINEAR`, `AREA`, `NEAREST`, `CUBIC`, `LANCZOS4`; one of the listed at random; linear by default."""
    height_scale: int = 0
    """Scale of detections, not of the image."""
    width_scale: int = 0

    message: ClassVar[str] = "resize_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if self.height < 1 or self.width < 1:
            self.fail("width" if self.height else "height", "is required and must be positive")

    def size(self, image: Size) -> Size:
        """The size of an image after the resize; unknown extents if those of the image are unknown."""
        if self.resize_mode != "FIT_SMALL_SIZE":
            return self.height, self.width
        return self.covering(image) if all(map(known, image)) else (UNKNOWN, UNKNOWN)

    def covering(self, image: Size) -> Size:
        """The smallest size with the aspect ratio of the image that covers height and width."""
        aspect = single(image[1] / image[0])
        if aspect < single(self.width / self.height):
            return int(single(self.width / aspect)), self.width
        return self.height, int(single(aspect * self.height))

    def within(self, image: Size) -> Size:
        """The largest size with the aspect ratio of the image that fits into height and width."""
        aspect = single(image[1] / image[0])
        if aspect > single(self.width / self.height):
            return max(1, int(single(self.width / aspect))), self.width
        return self.height, max(1, int(single(aspect * self.height)))


@dataclass(frozen=True)
class _Shorter(Augmentation):
    """A resize whose height and width are determined elsewhere."""

    resize_param: Resize = Resize()
    """How to resize; its extents are ignored."""

    def resized(self, size: Size) -> Resize:
        """The resize to a size."""
        return dataclasses.replace(self.resize_param, height=size[0], width=size[1])

    def shorter(self, image: Size, extent: int) -> Resize:
        """The resize that makes the shorter side of the image this length."""
        h, w = image
        longer = int(single(single(max(h, w) / min(h, w)) * extent))
        return self.resized((extent, longer) if h < w else (longer, extent))


@dataclass(frozen=True)
class RandomResize(_Shorter):
    """Resizes the shorter side to a random length (Intel)."""

    min_size: int = 0
    """Smallest length; 0 is the shorter side of the image."""
    max_size: int = 0
    """Largest length; 0 is the longer side of the image."""

    message: ClassVar[str] = "random_resize_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if self.max_size and self.max_size < self.min_size:
            self.fail("max_size", f"{self.max_size} is below `min_size` {self.min_size}")


@dataclass(frozen=True)
class RandomAspectRatio(_Shorter):
    """Resizes a region of random area and aspect ratio to the crop (Intel; Szegedy et al. 2015)."""

    min_area_ratio: float = 0.5
    """Smallest fraction of the area of the image."""
    max_area_ratio: float = 1.0
    aspect_ratio_change: float = 1.0
    """Largest factor of the height; that of the width is its inverse."""
    max_attempt: int = 10
    """Attempts to find a region; if none fits, the whole image is resized."""

    message: ClassVar[str] = "random_aspect_ratio_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if not 0 < self.min_area_ratio <= self.max_area_ratio:
            self.fail(
                "max_area_ratio",
                f"must be at least `min_area_ratio` {self.min_area_ratio:g}, and both must be positive",
            )
        if self.aspect_ratio_change <= 0:
            self.fail("aspect_ratio_change", "must be positive")


@dataclass(frozen=True)
class Distortion(Augmentation):
    """Random brightness, contrast, hue, saturation and order of channels (SSD; Howard 2013)."""

    brightness_prob: float = 0.0
    brightness_delta: float = 0.0
    """Largest absolute offset of each value."""
    contrast_prob: float = 0.0
    contrast_lower: float = 0.0
    """Smallest factor of each value."""
    contrast_upper: float = 0.0
    hue_prob: float = 0.0
    hue_delta: float = 0.0
    """Largest absolute offset of OpenCV's hue (0 to 179)."""
    saturation_prob: float = 0.0
    saturation_lower: float = 0.0
    """Smallest factor of the saturation."""
    saturation_upper: float = 0.0
    random_order_prob: float = 0.0
    """Probability of a random order of channels."""

    message: ClassVar[str] = "distort_param"

    @property
    def needs_color(self) -> bool:
        """Whether a step needs a color image."""
        return max(self.hue_prob, self.saturation_prob, self.random_order_prob) > 0

    def check(self) -> None:
        """Raises NetcError E103."""
        for name in ("contrast", "saturation"):
            low, high = getattr(self, f"{name}_lower"), getattr(self, f"{name}_upper")
            if not 0 <= low <= high:
                self.fail(
                    f"{name}_upper", f"must be at least `{name}_lower`, and both must be at least 0: {high:g}, {low:g}"
                )
        for name in ("brightness_delta", "hue_delta"):
            if getattr(self, name) < 0:
                self.fail(name, "must not be negative")


@dataclass(frozen=True)
class Expansion(Augmentation):
    """Puts the image at a random position in a larger one filled with `mean_value` or black (SSD; Liu et al. 2016).

    SSD also compresses the result as a JPEG and decodes it again; that step is omitted.
    """

    prob: float = 1.0
    max_expand_ratio: float = 1.0
    """Largest random factor of height and width; below 1.01 nothing is done."""

    message: ClassVar[str] = "expand_param"

    @property
    def active(self) -> bool:
        """Whether any image is expanded."""
        return self.prob > 0 and self.max_expand_ratio >= 1.01

    def check(self) -> None:
        """Raises NetcError E103."""
        if not 0 <= self.prob <= 1:
            self.fail("prob", f"must be from 0 to 1, got {self.prob:g}")
        if self.max_expand_ratio < 1:
            self.fail("max_expand_ratio", f"must be at least 1, got {self.max_expand_ratio:g}")


@dataclass(frozen=True)
class RandomStretch(Augmentation):
    """Random sizes of NVIDIA's fork, whose fields are fields of TransformationParameter itself."""

    img_rand_resize_lower: int = 0
    """Smallest length of the shorter side; 0, with `img_rand_resize_upper`, keeps it."""
    img_rand_resize_upper: int = 0
    rand_resize_ratio_lower: float = 0.0
    """Smallest random ratio of the longer to the shorter side."""
    rand_resize_ratio_upper: float = 0.0
    vertical_stretch_lower: float = 1.0
    """Smallest factor of the height."""
    vertical_stretch_upper: float = 1.0
    horizontal_stretch_lower: float = 1.0
    """Smallest factor of the width."""
    horizontal_stretch_upper: float = 1.0
    allow_upscale: bool = False
    """Whether extents may become larger."""
    interpolation_algo_up: str = "INTER_CUBIC"
    interpolation_algo_down: str = "INTER_NEAREST"

    message: ClassVar[str] = ""

    def check(self) -> None:
        """Raises NetcError E103."""
        for name in ("img_rand_resize", "rand_resize_ratio", "vertical_stretch", "horizontal_stretch"):
            if getattr(self, f"{name}_upper") < getattr(self, f"{name}_lower"):
                self.fail(f"{name}_upper", f"is below `{name}_lower`")

    def fail(self, name: str, problem: str) -> None:
        """See Augmentation."""
        raise NetcError(f"`{name}` {problem}", code="E103", field=f"transform_param.{name}")


@dataclass(frozen=True)
class RandomWarp(Augmentation):
    """Random warping of Chenglong Chen's fork, whose fields are fields of TransformationParameter itself."""

    multiscale: bool = False
    """Flip, crop or pad, shear, rotate and distort images at random, in training and in testing."""
    min_scaling_factor: float = 0.75
    """Smallest factor of the height and of the width: below 1 the image is padded, above 1 cropped."""
    max_scaling_factor: float = 1.5
    angle_interval: float = 1.0
    """The angle of rotation is a multiple, in degrees."""
    max_shearing_ratio: float = 0.125
    """How far a side may be sheared, in relation to the other one."""
    max_perspective_ratio: float = 0.125
    """How far each corner may be moved, in relation to the sides."""
    warp_fillval: float = 255.0
    """The value of pixels beyond the image."""
    smooth_filtering: bool = False
    """Blur half of the images with a filter of 3x3 pixels: the sum, the mean, a Gaussian or the median."""
    contrast_adjustment: bool = False
    """Multiply half of the images by 0.8 to 1.2, and add -5 to 5."""
    jpeg_compression: bool = False
    """Compress half of the images as JPEG of a quality from 95 to 100."""

    message: ClassVar[str] = ""

    def check(self) -> None:
        """Raises NetcError E103, and E106 for steps that other forks have without `multiscale`."""
        if not 0 < self.min_scaling_factor <= self.max_scaling_factor:
            self.fail("min_scaling_factor", "must be positive, and at most `max_scaling_factor`")
        if not self.angle_interval > 0:
            self.fail("angle_interval", "must be positive")
        for name in ("max_shearing_ratio", "max_perspective_ratio"):
            if not 0 <= getattr(self, name) <= 1:
                self.fail(name, "must be from 0 to 1")
        for name in ("smooth_filtering", "contrast_adjustment", "jpeg_compression"):
            if getattr(self, name) and not self.multiscale:
                message = f"`{name}` is supported only with `multiscale`, as in Chenglong Chen's Caffe"
                raise NetcError(message, code="E106", field=f"transform_param.{name}")

    def fail(self, name: str, problem: str) -> None:
        """See Augmentation."""
        raise NetcError(f"`{name}` {problem}", code="E103", field=f"transform_param.{name}")


def single(value: float) -> float:
    """A value rounded to float32, the precision in which forks compute sizes.

    >>> single(0.1) == 0.1
    False
    """
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _value(f: dataclasses.Field[Any], fields: Fields) -> Any:
    value = fields.get(f.name, f.default)
    if isinstance(value, Fields):  # checked by the outer message: a nested resize needs no extents
        kind: Any = type(f.default)
        return kind(**{inner.name: _value(inner, value) for inner in dataclasses.fields(kind)})
    return tuple(value) if isinstance(value, list) else value
