"""What forks of Caffe do to an image before it is cropped: sizes, cuts and colors, as values.

SSD's ResizeParameter, DistortionParameter and ExpansionParameter (weiliu89/caffe, `im_transforms.cpp` and
`data_transformer.cpp`; its noise is in noise.py), Intel's random sizes and aspect ratios (`data_transformer.cpp`),
NVIDIA's random resizing (`data_transformer.cpp`). The data package does the work; the layers take shapes from here.
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


@dataclass(frozen=True)
class Augmentation:
    """A message of TransformationParameter as a value; its fields have the message's names."""

    message: ClassVar[str]
    """The field of TransformationParameter, dotted where it lies deeper."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The values of a message. Raises NetcError E103 for values that make no sense."""
        made = cls(**{f.name: _value(f, fields) for f in dataclasses.fields(cls)})
        made.check()
        return made

    def to_caffe(self) -> dict[str, Any]:
        """The message as plain values; defaults left out."""
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
    """Another size: the image warped to it, as small as it covers it, or as large as it fits, padded.

    >>> Resize(height=30, width=40, resize_mode="FIT_SMALL_SIZE").size((60, 120))
    (30, 60)
    """

    resize_mode: str = "WARP"
    """`WARP`, `FIT_SMALL_SIZE` or `FIT_LARGE_SIZE_AND_PAD`."""
    height: int = 0
    width: int = 0
    prob: float = 1.0
    """SSD reads it and always resizes; anything but 1 is refused."""
    pad_mode: str = "CONSTANT"
    """`CONSTANT`, `MIRRORED` or `REPEAT_NEAREST`."""
    pad_value: tuple[float, ...] = ()
    """One, or one a channel; black without."""
    interp_mode: tuple[str, ...] = ()
    """`LINEAR`, `AREA`, `NEAREST`, `CUBIC`, `LANCZOS4`; one of them by chance, linear without."""
    height_scale: int = 0
    """What detections are scaled to, not the image."""
    width_scale: int = 0

    message: ClassVar[str] = "resize_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if self.height < 1 or self.width < 1:
            self.fail("width" if self.height else "height", "must be given, and positive")
        if self.prob != 1:
            self.fail("prob", f"{self.prob:g} would give images of two sizes: SSD resizes them all")

    def size(self, image: Size) -> Size:
        """What an image's size becomes; unknown extents where the image's are."""
        if self.resize_mode != "FIT_SMALL_SIZE":
            return self.height, self.width
        return self.covering(image) if all(map(known, image)) else (UNKNOWN, UNKNOWN)

    def covering(self, image: Size) -> Size:
        """The smallest size of the image's proportions that covers height and width."""
        aspect = single(image[1] / image[0])
        if aspect < single(self.width / self.height):
            return int(single(self.width / aspect)), self.width
        return self.height, int(single(aspect * self.height))

    def within(self, image: Size) -> Size:
        """The largest size of the image's proportions that height and width hold."""
        aspect = single(image[1] / image[0])
        if aspect > single(self.width / self.height):
            return max(1, int(single(self.width / aspect))), self.width
        return self.height, max(1, int(single(aspect * self.height)))


@dataclass(frozen=True)
class _Shorter(Augmentation):
    """A resize whose height and width come from elsewhere."""

    resize_param: Resize = Resize()
    """How; its extents do not count."""

    def resized(self, size: Size) -> Resize:
        """The resize to a size."""
        return dataclasses.replace(self.resize_param, height=size[0], width=size[1])

    def shorter(self, image: Size, extent: int) -> Resize:
        """The resize that makes the image's shorter side so long."""
        h, w = image
        longer = int(single(single(max(h, w) / min(h, w)) * extent))
        return self.resized((extent, longer) if h < w else (longer, extent))


@dataclass(frozen=True)
class RandomResize(_Shorter):
    """The shorter side gets a random length (Intel)."""

    min_size: int = 0
    """0 is the image's shorter side."""
    max_size: int = 0
    """0 is the image's longer side."""

    message: ClassVar[str] = "random_resize_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if self.max_size and self.max_size < self.min_size:
            self.fail("max_size", f"{self.max_size} is below `min_size` {self.min_size}")


@dataclass(frozen=True)
class RandomAspectRatio(_Shorter):
    """A random part of the image, of random proportions, is resized to the crop (Intel; Szegedy et al. 2015)."""

    min_area_ratio: float = 0.5
    """The part's share of the image's area, at least."""
    max_area_ratio: float = 1.0
    aspect_ratio_change: float = 1.0
    """Height by this factor, width by its inverse, at most."""
    max_attempt: int = 10
    """Parts that are tried; when none fits, the whole image is resized."""

    message: ClassVar[str] = "random_aspect_ratio_param"

    def check(self) -> None:
        """Raises NetcError E103."""
        if not 0 < self.min_area_ratio <= self.max_area_ratio:
            self.fail("max_area_ratio", f"{self.max_area_ratio:g}: the least is {self.min_area_ratio:g}, above 0")
        if self.aspect_ratio_change <= 0:
            self.fail("aspect_ratio_change", "must be positive")


@dataclass(frozen=True)
class Distortion(Augmentation):
    """Random brightness, contrast, hue, saturation, and order of channels (SSD; Howard 2013)."""

    brightness_prob: float = 0.0
    brightness_delta: float = 0.0
    """Added to each value: up to this much, up or down."""
    contrast_prob: float = 0.0
    contrast_lower: float = 0.0
    """Factor of each value, at least."""
    contrast_upper: float = 0.0
    hue_prob: float = 0.0
    hue_delta: float = 0.0
    """Added to OpenCV's hue (0 to 179): up to this much, up or down."""
    saturation_prob: float = 0.0
    saturation_lower: float = 0.0
    """Factor of the saturation, at least."""
    saturation_upper: float = 0.0
    random_order_prob: float = 0.0
    """That channels change places."""

    message: ClassVar[str] = "distort_param"

    @property
    def needs_color(self) -> bool:
        """Whether something is done that gray images cannot take."""
        return max(self.hue_prob, self.saturation_prob, self.random_order_prob) > 0

    def check(self) -> None:
        """Raises NetcError E103."""
        for name in ("contrast", "saturation"):
            low, high = getattr(self, f"{name}_lower"), getattr(self, f"{name}_upper")
            if not 0 <= low <= high:
                self.fail(f"{name}_upper", f"{high:g}: `{name}_lower` is {low:g}, and neither is below 0")
        for name in ("brightness_delta", "hue_delta"):
            if getattr(self, name) < 0:
                self.fail(name, "must not be negative")


@dataclass(frozen=True)
class Expansion(Augmentation):
    """The image at a random place of a larger one, which is `mean_value` or black elsewhere (SSD; Liu et al. 2016).

    SSD compresses what comes of it as a JPEG anew, in between; that is left out.
    """

    prob: float = 1.0
    max_expand_ratio: float = 1.0
    """Height and width by a random factor from 1 on up to this; less than 1.01 leaves them."""

    message: ClassVar[str] = "expand_param"

    @property
    def active(self) -> bool:
        """Whether any image grows."""
        return self.prob > 0 and self.max_expand_ratio >= 1.01

    def check(self) -> None:
        """Raises NetcError E103."""
        if not 0 <= self.prob <= 1:
            self.fail("prob", f"{self.prob:g} is no probability: it must be from 0 to 1")
        if self.max_expand_ratio < 1:
            self.fail("max_expand_ratio", f"{self.max_expand_ratio:g} is below 1")


@dataclass(frozen=True)
class RandomStretch(Augmentation):
    """Random sizes as NVIDIA's fork has them, straight in TransformationParameter."""

    img_rand_resize_lower: int = 0
    """Length of the shorter side, at least; 0, with `img_rand_resize_upper`, leaves it."""
    img_rand_resize_upper: int = 0
    rand_resize_ratio_lower: float = 0.0
    """The longer side is made the shorter one times a random ratio from here on."""
    rand_resize_ratio_upper: float = 0.0
    vertical_stretch_lower: float = 1.0
    """Factor of the height, at least."""
    vertical_stretch_upper: float = 1.0
    horizontal_stretch_lower: float = 1.0
    """Factor of the width, at least."""
    horizontal_stretch_upper: float = 1.0
    allow_upscale: bool = False
    """Whether extents may grow."""
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


def single(value: float) -> float:
    """A value rounded to float32, in which the forks compute sizes.

    >>> single(0.1) == 0.1
    False
    """
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def _value(f: dataclasses.Field[Any], fields: Fields) -> Any:
    value = fields.get(f.name, f.default)
    if isinstance(value, Fields):  # the outer message checks what lies within: a resize needs no extents there
        kind: Any = type(f.default)
        return kind(**{inner.name: _value(inner, value) for inner in dataclasses.fields(kind)})
    return tuple(value) if isinstance(value, list) else value
