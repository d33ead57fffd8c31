"""The transformation of each record by a data layer: Caffe's TransformationParameter as a value.

Layers infer shapes from it, and the data package applies it; neither requires torch.
Rules from `data_transformer.cpp` (constructor, InferBlobShape, Transform); extensions of forks are in augmentation.py.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from netc.diagnostics import NetcError, counted
from netc.ir.augmentation import (
    Augmentation,
    Distortion,
    Expansion,
    RandomAspectRatio,
    RandomResize,
    RandomStretch,
    RandomWarp,
    Resize,
)
from netc.ir.box_sampling import EmitConstraint
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.noise import Noise

AUGMENTATIONS: dict[str, type[Augmentation]] = {
    kind.message: kind
    for kind in (Resize, Distortion, Expansion, Noise, RandomResize, RandomAspectRatio, EmitConstraint)
}
FIXED = ("resize_param", "emit_constraint")
"""Those of them that are not random."""


MAX_PIXELS = 1 << 28
"""Limit of the pixels of an image, read or resized: 16384 x 16384."""
MOST_SCALE = 100
"""Limit of the random scales of images."""
UNSTRETCHED = RandomStretch()
UNWARPED = RandomWarp()
OWN_FIELDS = ("stretch", "warp")
"""Augmentations whose fields are fields of TransformationParameter itself."""


@dataclass(frozen=True)
class Transform:
    """Crop, mirror, subtract the mean and scale, in this order; before that the augmentation of forks.

    >>> Transform(crop_size=227).shape((3, 256, 300))
    (3, 227, 227)
    """

    scale: float = 1.0
    """Factor, applied after the mean is subtracted."""
    mirror: bool = False
    """Flip images horizontally at random."""
    crop_size: int = 0
    """Height and width of the crop: at a random position in training, centered in testing; 0 does not crop."""
    mean_file: str | None = None
    """File of the mean to subtract, a BlobProto of the record's shape; excludes `mean_value`."""
    mean_value: tuple[float, ...] = ()
    """Mean to subtract: one value for all channels, or one per channel."""
    force_color: bool = False
    """Decode encoded images to three channels."""
    force_gray: bool = False
    """Decode encoded images to one channel."""
    crop_h: int = 0
    """Height of the crop, with `crop_w`, in place of `crop_size` (SSD)."""
    crop_w: int = 0
    resize_param: Resize | None = None
    """Resize before the crop (SSD)."""
    distort_param: Distortion | None = None
    """Random color distortion (SSD)."""
    expand_param: Expansion | None = None
    """Random expansion of the canvas, before the resize (SSD)."""
    noise_param: Noise | None = None
    """Noise and other changes of pixels, after the resize (SSD)."""
    emit_constraint: EmitConstraint | None = None
    """Which boxes stay when a part of the image is cut out (SSD); without effect on images without boxes."""
    random_resize_param: RandomResize | None = None
    """Random size (Intel)."""
    random_aspect_ratio_param: RandomAspectRatio | None = None
    """Random part of the image, resized to the crop (Intel)."""
    scale_factors: tuple[float, ...] = ()
    """Resize by one of these factors at random (DeepLab)."""
    crop_height: int = 0
    """Height of the crop, with `crop_width`, in place of `crop_size` (DeepLab)."""
    crop_width: int = 0
    fix_crop: bool = False
    """In training, crop at a corner or the center, at random (yjxiong)."""
    more_fix_crop: bool = False
    """With `fix_crop`, also at edges and quarters (yjxiong)."""
    multi_scale: bool = False
    """In training, crop at one of several sizes, and resize to `crop_size` (yjxiong)."""
    scale_ratios: tuple[float, ...] = ()
    """Sizes of `multi_scale` in relation to the shorter side; by default 1, 0.875, 0.75 and 0.66 (yjxiong)."""
    max_distort: int = 1
    """How far the ratios of height and width may be apart in `scale_ratios` (yjxiong)."""
    original_image: bool = False
    """Crop a random part of images of any size, seven eighths in testing, and resize to `crop_size` (yjxiong)."""
    is_flow: bool = False
    """Mirroring inverts horizontal optical flow: the first half of raw channels, even channels of images (yjxiong)."""
    flow: bool = False
    """Mirroring inverts the third channel, which holds horizontal optical flow (LRCN, Intel)."""
    stretch: RandomStretch = UNSTRETCHED
    """Random size (NVIDIA); its fields are fields of TransformationParameter itself."""
    warp: RandomWarp = UNWARPED
    """Random warping (Chenglong Chen); its fields are fields of TransformationParameter itself."""

    @staticmethod
    def read(layer: Fields) -> Transform:
        """The `transform_param` of a LayerParameter.

        Raises NetcError E101 for settings that exclude or require each other, E103 for invalid values.
        """
        values = layer.message("transform_param")
        given: dict[str, Any] = {
            f.name: values.get(f.name, f.default) for f in dataclasses.fields(Transform) if f.name not in OWN_FIELDS
        }
        for name, kind in AUGMENTATIONS.items():
            given[name] = kind.read(values.message(name)) if name in values else None
        for name in ("mean_value", "scale_factors", "scale_ratios"):
            given[name] = tuple(given[name])
        result = Transform(**given, stretch=RandomStretch.read(values), warp=RandomWarp.read(values))
        result._check()
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The TransformationParameter as plain values, without defaults."""
        fields = (f for f in dataclasses.fields(self) if f.name not in OWN_FIELDS)
        changed = ((f.name, getattr(self, f.name), f.default) for f in fields)
        plain = {name: value for name, value, default in changed if value != default}
        nested = {name: value.to_caffe() for name, value in plain.items() if isinstance(value, Augmentation)}
        return {**plain, **nested, **self.stretch.to_caffe(), **self.warp.to_caffe()}

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of the crop; zeros without a crop."""
        if self.crop_size:
            return self.crop_size, self.crop_size
        return self.crop_h or self.crop_height, self.crop_w or self.crop_width

    def shape(self, record: Shape | None) -> Shape:
        """Shape (c, h, w) of the result, given that of a decoded record, or None if no record can be read.

        Raises NetcError E102 for a crop larger than the record, a record without channels, and for a number of
        `mean_value`s other than one or one per channel.
        """
        # The number of mean values determines the channels of a record that cannot be read.
        channels = len(self.mean_value) if len(self.mean_value) > 1 else UNKNOWN
        c, h, w = (channels, UNKNOWN, UNKNOWN) if record is None else record
        if c < 1:
            raise NetcError(f"the record has {counted(c, 'channel')}, expected at least 1", code="E102")
        if len(self.mean_value) > 1 and len(self.mean_value) != c:
            raise NetcError(
                f"{counted(len(self.mean_value), 'value')} of `mean_value` for {counted(c, 'channel')}: "
                f"expected {' or '.join(map(str, sorted({1, c})))}",
                code="E102",
                field="transform_param.mean_value",
            )
        h, w = self.augmented(h, w)
        height, width = self.crop
        if self.original_image:
            return (c, height, width)
        if not height:
            return (c, h, w)
        if h < height or w < width:
            crop = f"`crop_size` {height}" if self.crop_size else f"the crop of {height}x{width}"
            field = "crop_size" if self.crop_size else "crop_h"
            raise NetcError(f"{crop} is larger than a record of {h}x{w}", code="E102", field=f"transform_param.{field}")
        return (c, height, width)

    def augmented(self, h: int, w: int) -> tuple[int, int]:
        """Height and width before the crop, unknown if they are random."""
        if self.warp.multiscale:
            return self.crop
        grows = self.expand_param is not None and self.expand_param.active
        if self.random_resize_param or self.random_aspect_ratio_param or grows:
            h, w = UNKNOWN, UNKNOWN
        if self.resize_param:
            h, w = self.resize_param.size((h, w))
        return (h, w) if self.stretch == UNSTRETCHED else (UNKNOWN, UNKNOWN)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """The fields whose effect is random.

        >>> Transform(mirror=True, crop_size=5).random_fields(train=True), Transform(crop_size=5).random_fields(False)
        (('mirror', 'crop_size'), ())
        """
        crop = tuple(name for name in ("crop_size", "crop_h", "crop_height") if train and getattr(self, name))
        training = tuple(name for name in ("multi_scale", "original_image") if train and getattr(self, name))
        scale = (*("scale_factors",) * bool(self.scale_factors), *training)
        changes = tuple(name for name in AUGMENTATIONS if name not in FIXED and getattr(self, name))
        stretch = ("img_rand_resize_lower",) if self.stretch != UNSTRETCHED else ()
        if self.warp.multiscale:
            return ("multiscale",)
        return (*("mirror",) * self.mirror, *crop, *scale, *changes, *stretch)

    def _check(self) -> None:
        if self.mean_file is not None and self.mean_value:
            raise _excluding("mean_file", "mean_value")
        if self.force_color and self.force_gray:
            raise _excluding("force_color", "force_gray")
        self._check_crop()
        self._check_sizes_of_crops()
        if not all(0 < factor <= MOST_SCALE for factor in self.scale_factors):
            raise NetcError(
                f"`scale_factors` must be positive and at most {MOST_SCALE}",
                code="E103",
                field="transform_param.scale_factors",
            )
        if self.random_resize_param and self.random_aspect_ratio_param:
            raise _excluding("random_resize_param", "random_aspect_ratio_param")
        if self.expand_param and self.mean_file is not None:
            raise _excluding("mean_file", "expand_param")
        if self.random_aspect_ratio_param and not self.crop_size:
            raise _lacking("random_aspect_ratio_param", "a `crop_size`")

    def _check_sizes_of_crops(self) -> None:
        """The fields of yjxiong's Caffe, and `multiscale`."""
        given = {name: getattr(self, name) for name in ("fix_crop", "multi_scale", "original_image")}
        given["multiscale"] = self.warp.multiscale
        for name in (name for name, is_set in given.items() if is_set):
            if not self.crop_size:
                raise _lacking(name, "a `crop_size`")
            other = next((other for other in AUGMENTATIONS if getattr(self, other) is not None), None)
            if other:
                raise _excluding(name, other)
        if self.warp.multiscale and (self.fix_crop or self.multi_scale or self.original_image):
            raise _excluding("multiscale", next(name for name, is_set in given.items() if is_set))
        if self.original_image and (self.multi_scale or self.fix_crop):
            raise _excluding("original_image", "multi_scale" if self.multi_scale else "fix_crop")
        if self.original_image and self.mean_file is not None:
            raise _excluding("original_image", "mean_file")
        if not all(0 < ratio <= 1 for ratio in self.scale_ratios):
            raise NetcError(
                "`scale_ratios` must be greater than 0 and at most 1", code="E103", field="transform_param.scale_ratios"
            )
        if self.max_distort < 0:
            raise NetcError("`max_distort` must not be negative", code="E103", field="transform_param.max_distort")

    def _check_crop(self) -> None:
        for height, width in (("crop_h", "crop_w"), ("crop_height", "crop_width")):
            given = bool(getattr(self, height)), bool(getattr(self, width))
            if self.crop_size and any(given):
                raise _excluding("crop_size", height)
            if given[0] != given[1]:
                raise _lacking(height, f"`{width}`")
        if self.crop_h and self.crop_height:
            raise _excluding("crop_h", "crop_height")


def _excluding(one: str, other: str) -> NetcError:
    return NetcError(f"`{one}` and `{other}` exclude each other", code="E101", field=f"transform_param.{other}")


def _lacking(name: str, needed: str) -> NetcError:
    return NetcError(f"`{name}` requires {needed}", code="E101", field=f"transform_param.{name}")
