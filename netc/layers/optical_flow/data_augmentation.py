"""DataAugmentation: images that are transformed and recolored at random, cropped, and centered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import CaffeFields, Cost, Count, Mode, Shapes, Weight, Weights, fail
from netc.layers._registry import register
from netc.layers.optical_flow import _coefficients as coefficients
from netc.layers.optical_flow._augmentation import NUMBERS, RandomAugmentation
from netc.layers.optical_flow._coefficients import (
    CHROMATIC,
    CHROMATIC_NUMBERS,
    COUNT,
    EFFECT_NUMBERS,
    EIGEN,
    EIGEN_NUMBERS,
    SPATIAL,
    SPATIAL_NUMBERS,
    Values,
    check_coefficients,
)
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor

COLORS = 3
MARGIN = 1.05
"""Positions stay this far from the extent of the image, so that the next pixel exists."""


@register("DataAugmentation", dialect="flownet2", field="augmentation_param")
@dataclass(frozen=True)
class DataAugmentation(RandomAugmentation):
    """Images cropped, in training after random transformations and changes of color, minus a mean.

    Each item has 42 coefficients, drawn in training (and in tests with `augment_during_test`) or those of the second
    bottom; the second top holds them. The image is mirrored, rotated, shifted and zoomed, with bilinear interpolation;
    then its colors are changed by components along `chromatic_eigvec`, by gamma, brightness and contrast, and by
    shadows and noise, if the coefficients of any item ask for it. Without coefficients the top is the center of the
    image; half a pixel of a border is interpolated too. Without `crop_width` and `crop_height` only the mean is
    subtracted.

    A random number has the distribution `rand_type`, uniform up to `spread` from `mean` or normal with that standard
    deviation, or is 1 with probability `prob` (`bernoulli`); in `uniform_bernoulli` and `gaussian_bernoulli` it is the
    default, without effect, except with that probability. Then `exp`, `discretize` and `multiplier` are applied. A
    schedule multiplies `spread`, unless `apply_schedule` is false.

    With `recompute_mean` the mean is that of the tops of so many training passes, held in blobs with the number of
    passes; FlowNet2 counts passes of tests too, and adds noise in tests where the coefficients of a bottom ask for it,
    which needs `augment_during_test` here. Where the coefficients of a bottom ask for other colors of an image
    without three channels, or without `chromatic_eigvec`, the top is NaN; FlowNet2 ends.

    Shapes: (n, c, h, w), optionally with (n, 42, 1, 1), to (n, c, crop_height, crop_width) and (n, 42, 1, 1).

    >>> DataAugmentation(crop_width=5, crop_height=4).infer(((2, 3, 8, 9),), 2)
    ((2, 3, 4, 5), (2, 42, 1, 1))

    Reference: `data_augmentation_layer.cpp`, `data_augmentation_layer.cu`, `augmentation_layer_base.cpp` and `rng.cpp`
    of FlowNet2 (lmb-freiburg/flownet2).
    """

    max_multiplier: float = 255.0
    """The largest value of changed colors."""
    recompute_mean: int = 0
    """Number of training passes whose mean is subtracted; 0 for none."""
    mean_per_pixel: bool = True
    """Whether the mean of `recompute_mean` is an image; otherwise one value per channel."""
    mean: tuple[float, ...] = ()
    """Without `recompute_mean` and with `mean_per_pixel: false`, three values are subtracted from the channels."""
    chromatic_eigvec: tuple[float, ...] = ()
    """Three vectors of three colors each, required by `lmult_pow` and what follows it up to `col_rotate`."""
    is_frozen: bool = False
    """Whether training leaves the blobs as they are: netc's own, for a layer that a user freezes."""

    caffe_fields: ClassVar[CaffeFields] = {**RandomAugmentation.caffe_fields, "is_frozen": ()}
    bottom_count: ClassVar[Count] = Count(1, 2)
    top_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @property
    def batch_statistics(self) -> bool:  # type: ignore[override]
        """With `recompute_mean`."""
        return self.recompute_mean > 0

    def frozen(self) -> DataAugmentation:
        """Return a layer that subtracts the mean of its blobs."""
        return dataclasses.replace(self, is_frozen=True) if self.recompute_mean else self

    def check(self) -> None:
        """Raises NetcError E101 for numbers that need `chromatic_eigvec`, E103 for another number of its values."""
        super().check()
        if math.isnan(self.max_multiplier):
            fail("`max_multiplier` is not a number", code="E103", field="augmentation_param.max_multiplier")
        field = "augmentation_param.chromatic_eigvec"
        if self.chromatic_eigvec and len(self.chromatic_eigvec) != COLORS**2:
            fail(f"`chromatic_eigvec` has {len(self.chromatic_eigvec)} values: expected 9", code="E103", field=field)
        needing = next((name for name in EIGEN_NUMBERS if name in self.numbers), None)
        if needing and self.crop and not self.chromatic_eigvec:
            fail(
                f"`{needing}` needs `chromatic_eigvec`",
                code="E101",
                field=f"augmentation_param.{needing}",
                help="set its 9 values: three vectors of three colors",
            )

    def to_caffe(self) -> dict[str, Any]:
        """Both messages by name, without what no file sets."""
        found = super().to_caffe()
        own = {name: value for name, value in found.get("augmentation_param", {}).items() if name != "is_frozen"}
        return {**found, "augmentation_param": own} if own else found

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms without 4 axes, too small for the crop, or without the colors needed."""
        n, c, h, w = planes(self.type, bottoms[:1])[0]
        if len(bottoms) > 1:
            check_coefficients(self.type, bottoms[1], n)
        if self.crop and (h < self.crop_height or w < self.crop_width):
            size = f"{self.crop_height} x {self.crop_width}"
            fail(f"a crop of {size} is larger than the image of {text((h, w))}", field="bottom")
        colors = next((name for name in self.numbers if name not in SPATIAL_NUMBERS), None)
        needing = colors if self.crop and len(bottoms) == 1 else "mean" if self._has_fixed_mean else None
        if needing and differ(c, COLORS):
            fail(f"`{needing}` needs images with 3 channels, got {c}", field="bottom")
        return ((n, c, *(self.crop or (h, w))), (n, COUNT, 1, 1))

    @property
    def _has_fixed_mean(self) -> bool:
        return not self.recompute_mean and not self.mean_per_pixel and len(self.mean) == COLORS

    def weights(self, bottoms: Shapes) -> Weights:
        """`passes` (1, 1, 1, 1); with `recompute_mean` also `mean` (1, c, oh, ow) and `channel_mean` (1, c, 1, 1)."""
        shapes: dict[str, Shape] = {"passes": (1, 1, 1, 1)}
        if self.recompute_mean:
            _, c, h, w = self.infer(bottoms, 1)[0]
            shapes |= {"mean": (1, c, h, w), "channel_mean": (1, c, 1, 1)}
        return tuple(Weight(name, shape, learnable=False) for name, shape in shapes.items())

    def fitted(self, arrays: Sequence[Any], shapes: Shapes) -> Sequence[Any]:
        """Return a file's blobs for this layer: a mean of another size becomes that of each channel.

        Blobs that the layer does not have are left out, as in FlowNet2, and those that the file does not have are None.
        """
        import numpy as np

        if not self.recompute_mean:
            return arrays[:1]
        if len(arrays) != len(shapes) or any(array is None for array in arrays):
            return [None] * len(shapes) if len(arrays) == 1 else arrays
        passes, mean, channels = arrays
        if mean.ndim != len(shapes[1]) or mean.shape[1] != shapes[1][1] or mean.shape == shapes[1] or not mean.size:
            return arrays
        if self.mean_per_pixel:
            channels = mean.mean((0, 2, 3), dtype=np.float64).astype(np.float32).reshape(shapes[2])
        if channels.shape != shapes[2]:
            return arrays
        return [passes, np.broadcast_to(channels, shapes[1]), channels]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Seven operations per element for the interpolation, and one for the mean."""
        return Cost(operations=8 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring, without a gradient, as in FlowNet2."""
        import torch

        with torch.no_grad():
            image = bottoms[0]
            passes = weights[0].reshape(()) + 1
            array = self._array(image, bottoms[1:], passes, mode)
            top = self._augmented(image, array, len(bottoms) > 1, mode)
            top = self._centered(top, weights, passes, mode)
            return top, array.reshape(-1, COUNT, 1, 1).to(image.dtype)

    def _array(self, image: Tensor, given: Sequence[Tensor], passes: Tensor, mode: Mode) -> Tensor:
        """Return the coefficients (n, 42): those of the second bottom, drawn, or the default."""
        import torch

        items = len(image)
        like = image.new_zeros((), dtype=torch.promote_types(image.dtype, torch.float32))
        if given:
            return given[0].reshape(items, COUNT).to(like.dtype, copy=True)
        array = like.new_zeros((items, COUNT))
        if self.crop is None:
            return array
        discount = self.discount(passes)
        found: dict[str, Tensor] = {}
        if self.draws(mode.training, SPATIAL_NUMBERS):
            size = (image.shape[2], image.shape[3])
            drawn = coefficients.spatial(self.numbers, array[:, : len(SPATIAL)], discount, self.crop, size)
            found |= coefficients.decoded(drawn, SPATIAL)
        for names, draw in (
            (CHROMATIC_NUMBERS, coefficients.chromatic),
            (EIGEN_NUMBERS, coefficients.eigen),
            (EFFECT_NUMBERS, coefficients.effects),
        ):
            if self.draws(mode.training, names):
                found |= draw(self.numbers, items, like, discount)
        return coefficients.encoded(found, (items,), like) if found else array

    def _augmented(self, image: Tensor, array: Tensor, given: bool, mode: Mode) -> Tensor:
        """Return the image transformed and recolored."""
        if self.crop is None:
            return image.clone()
        if not given and not self.draws(mode.training, tuple(NUMBERS)):
            return self._center(image, self.crop)
        values, changed = coefficients.tidied(array)
        top = self._cropped(image, values, self.crop)
        if given or self.draws(mode.training, EIGEN_NUMBERS):
            top = self._recolored(top, values, _any(changed, EIGEN), self._eigen(image))
        if given or self.draws(mode.training, CHROMATIC_NUMBERS):
            top = self._recolored(top, values, _any(changed, CHROMATIC), self._contrasted)
        if given or self.draws(mode.training, EFFECT_NUMBERS):
            is_random = mode.training or self.augment_during_test
            top = self._recolored(
                top, values, _has_effects(values, changed), self._noisy if is_random else self._shaded
            )
        return top

    def _center(self, image: Tensor, crop: tuple[int, int]) -> Tensor:
        """The crop without a transformation."""
        columns = _interpolated(image, 3, crop[1])
        return _interpolated(columns, 2, crop[0]).to(image.dtype)

    def _cropped(self, image: Tensor, values: Values, crop: tuple[int, int]) -> Tensor:
        from netc.layers.optical_flow._sampling import bilinear

        size = (image.shape[2], image.shape[3])
        x, y = coefficients.moved(values, *coefficients.grid(crop, values["dx"]), crop, size)
        x, y = (
            position.nan_to_num(extent - MARGIN).clamp_max(extent - MARGIN).clamp_min(0)
            for position, extent in ((x, size[1]), (y, size[0]))
        )
        return bilinear(image, x, y).to(image.dtype)

    def _recolored(
        self, top: Tensor, values: Values, is_asked: Tensor, change: Callable[[Tensor, Values], Tensor] | None
    ) -> Tensor:
        """Return the top, changed if the coefficients of any item ask for it; NaN if it cannot be."""
        import torch

        if top.shape[1] != COLORS or change is None:
            return torch.where(is_asked, float("nan"), top)
        return torch.where(is_asked, change(top, values).to(top.dtype), top)

    def _eigen(self, image: Tensor) -> Callable[[Tensor, Values], Tensor] | None:
        from netc.layers.optical_flow._colors import EigenSpace, eigen_augmented

        if not self.chromatic_eigvec or image.shape[1] != COLORS:
            return None
        space = EigenSpace.of(image, self.chromatic_eigvec)
        return lambda top, values: eigen_augmented(top, values, space, self.max_multiplier)

    def _contrasted(self, top: Tensor, values: Values) -> Tensor:
        from netc.layers.optical_flow._colors import contrasted

        return contrasted(top, values, self.max_multiplier)

    def _shaded(self, top: Tensor, values: Values) -> Tensor:
        from netc.layers.optical_flow._colors import shaded

        return shaded(top, values, self.max_multiplier)

    def _noisy(self, top: Tensor, values: Values) -> Tensor:
        from netc.layers.optical_flow._colors import noisy

        return noisy(self._shaded(top, values), values)

    def _centered(self, top: Tensor, weights: Sequence[Tensor], passes: Tensor, mode: Mode) -> Tensor:
        """Return the top minus the mean; in training passes are counted, and the mean is recomputed."""
        if mode.training and not self.is_frozen:
            self._count(top, weights, passes)
        if self.recompute_mean:
            return top - weights[1 if self.mean_per_pixel else 2].to(top.dtype)
        if self._has_fixed_mean:
            return top - top.new_tensor(self.mean).reshape(-1, 1, 1)
        return top

    def _count(self, top: Tensor, weights: Sequence[Tensor], passes: Tensor) -> None:
        import torch

        weights[0].copy_(passes.reshape(weights[0].shape))
        if not self.recompute_mean:
            return
        mean = (weights[1] * (passes - 1) + top.mean(0, keepdim=True).to(weights[1].dtype)) / passes
        counts = passes <= self.recompute_mean
        weights[1].copy_(torch.where(counts, mean, weights[1]))
        weights[2].copy_(torch.where(counts, mean.mean((2, 3), keepdim=True), weights[2]))


def _interpolated(image: Tensor, axis: int, count: int) -> Tensor:
    """Return elements around the center of an axis, between those of the image if their number is odd."""
    import torch

    extent, real = image.shape[axis], torch.promote_types(image.dtype, torch.float32)
    place = torch.arange(count, dtype=real, device=image.device) + (extent - count) / 2
    place = place.clamp_max(extent - MARGIN).clamp_min(0)
    share = (place - place.floor()).reshape(-1, *[1] * (3 - axis))
    first = place.long()
    after = (first + 1).clamp_max(extent - 1)
    return image.index_select(axis, first) * (1 - share) + image.index_select(axis, after) * share


def _any(changed: Values, names: tuple[str, ...]) -> Tensor:
    """Return whether any item has some of these coefficients."""
    import torch

    return torch.stack([changed[name] for name in names]).any()


def _has_effects(values: Values, changed: Values) -> Tensor:
    """Return whether any item has fog, motion blur, a shadow or noise."""
    import torch

    fog = changed["fog_amount"] & changed["fog_size"]
    others = [values[name].flatten() > 0 for name in ("motion_blur_size", "shadow_strength", "noise")]
    return torch.stack((fog, *others)).any()
