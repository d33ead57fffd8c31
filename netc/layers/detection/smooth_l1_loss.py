"""SmoothL1Loss, of box regression, and its form with the loss of each region for hard example mining."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._labels import Normalization, loss_message, normalization, normalizer
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("SmoothL1Loss", dialect="fast_rcnn", field="smooth_l1_loss_param")
@dataclass(frozen=True)
class SmoothL1Loss(Layer):
    """Sum of a Huber loss of the difference of two bottoms, divided by the number of items.

    With s = `sigma`, the loss of a difference d is (s d)^2 / 2 if |d| < 1 / s^2, else |d| - 1 / (2 s^2). A third
    bottom multiplies differences (inside weights), a fourth multiplies losses (outside weights). With three bottoms the
    gradient is not multiplied by the weights: those of Fast R-CNN are 0 and 1.

    Shapes: two to four of (n, ...) to a scalar; the first two bottoms get a gradient.

    >>> SmoothL1Loss(sigma=3.0).infer(((1, 36, 38, 63),) * 4, 1)
    ((),)

    Reference: `smooth_L1_loss_layer.cpp` and `.cu` of Fast R-CNN's and SSD's Caffe; Girshick, Fast R-CNN, 2015.
    """

    sigma: float = 1.0
    """Square root of the curvature at 0; the loss is linear from 1 / sigma^2."""

    bottom_count: ClassVar[Count] = Count(2, 4)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (2, 3)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ in shape, E103 unless `sigma` is positive."""
        if not self.sigma > 0 or not math.isfinite(self.sigma):
            fail(f"`sigma` is {self.sigma:g}: it must be positive", code="E103", field="sigma")
        check_alike(bottoms)
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction, comparison, multiplication and addition per element, and one per weight."""
        return Cost(operations=(2 + len(bottoms)) * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        loss = smooth_l1(weighted_difference(bottoms), self.sigma)
        if len(bottoms) > 3:
            loss = loss * bottoms[3].detach().reshape(loss.shape)
        return loss.sum() / loss.shape[0]


@register("SmoothL1LossOHEM", dialect="rfcn", field="loss_param")
@dataclass(frozen=True)
class SmoothL1LossOhem(Layer):
    """Like SmoothL1Loss with `sigma` 1, with a normalization and the loss of each region as a second top.

    A third bottom multiplies differences, but not the gradient: the weights of R-FCN are 0 and 1.

    Shapes: two or three of (n, c, h, w) to a scalar and (n, 1, h, w); the second top has no gradient.

    >>> SmoothL1LossOhem().infer(((300, 8, 1, 1),) * 3, 2)
    ((), (300, 1, 1, 1))

    Reference: `smooth_L1_loss_layer.cpp` and `.cu` of R-FCN's Caffe; Shrivastava et al., Training Region-based Object
    Detectors with Online Hard Example Mining, 2016.
    """

    normalization: Normalization = "VALID"
    """The divisor of the summed loss; `VALID` counts every position."""
    pre_fixed_normalizer: float = 1.0
    """The divisor for `PRE_FIXED`, at least 1."""

    caffe_fields: ClassVar[CaffeFields] = {"normalization": ("loss_param.normalization", "loss_param.normalize")}
    bottom_count: ClassVar[Count] = Count(2, 3)
    top_count: ClassVar[Count] = Count(1, 2)
    is_loss: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `loss_param`."""
        loss = layer.message("loss_param")
        return cls(normalization(loss, "VALID"), loss["pre_fixed_normalizer"])

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message."""
        message = loss_message(None, self.normalization, "VALID", self.pre_fixed_normalizer)
        return message.get("loss_param", {})

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms differ in shape."""
        check_alike(bottoms)
        n, _, h, w = (*bottoms[0], 1, 1, 1)[:4]
        return ((), (n, 1, h, w))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One subtraction, comparison, multiplication and addition per element."""
        return Cost(operations=4 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        loss = smooth_l1(weighted_difference(bottoms), 1.0)
        n, c, h, w = (*loss.shape, 1, 1, 1)[:4]
        total = loss.sum() / normalizer(self.normalization, n, h * w, None, self.pre_fixed_normalizer)
        return (total, loss.detach().reshape(n, c, h, w).sum(1, keepdim=True)) if mode.tops > 1 else (total,)


def check_alike(bottoms: Shapes) -> None:
    """Raises NetcError E102 unless all bottoms have the shape of the first, up to trailing extents of 1."""
    first = bottoms[0]
    if not first or len(first) > 4:
        fail(f"expected 1 to 4 axes, got {text(first)}", field="bottom")
    for other in bottoms[1:]:
        longest = max(len(first), len(other))
        ones = ((*shape, *(1,) * (longest - len(shape))) for shape in (first, other))
        if any(map(differ, *ones)):
            fail(f"the bottoms differ in shape: {text(first)} and {text(other)}", field="bottom")


def weighted_difference(bottoms: Sequence[Tensor]) -> Tensor:
    """The difference of the first two bottoms times the third; with three bottoms its gradient has no factor."""
    difference = bottoms[0] - bottoms[1].reshape(bottoms[0].shape)
    if len(bottoms) == 2:
        return difference
    weighted = difference * bottoms[2].detach().reshape(difference.shape)
    return difference + (weighted - difference).detach() if len(bottoms) == 3 else weighted


def smooth_l1(x: Tensor, sigma: float) -> Tensor:
    """The Huber loss of each element, quadratic below 1 / sigma^2."""
    import torch.nn.functional as F

    return F.smooth_l1_loss(x, x.new_zeros(()).expand_as(x), reduction="none", beta=1 / sigma**2)
