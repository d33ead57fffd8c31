"""DomainTransform: smoothing of scores that stops at edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("DomainTransform", dialect="pspnet", field="domain_transform_param")
@dataclass(frozen=True)
class DomainTransform(Layer):
    """Filters planes recursively to the right, left, bottom and top, with weights that are small where edges are.

    In round i of k = `num_iter`, the weight at a position with edge strength g is
    exp(-sqrt(2) / s (1 + g `spatial_sigma` / `range_sigma`)) with s = `spatial_sigma` sqrt(3) 2^(k - i) /
    sqrt(4^k - 1), from `min_weight` to 1. The third bottom holds the height and width of the region of each image
    that is filtered; elements outside are copied.

    Shapes: (n, c, h, w), edges (n, 1, h, w) and sizes (n, 2, 1, 1) or any n pairs to (n, c, h, w).

    >>> DomainTransform().infer(((2, 21, 41, 41), (2, 1, 41, 41), (2, 1, 1, 2)), 1)
    ((2, 21, 41, 41),)

    Reference: `domain_transform_layer.cpp` of DeepLab; Chen et al., Semantic Image Segmentation with Task-Specific Edge
    Detection, 2016.
    """

    num_iter: int = 3
    """Number of rounds."""
    spatial_sigma: float = 50.0
    """Standard deviation in positions."""
    range_sigma: float = 5.0
    """Standard deviation in edge strengths."""
    min_weight: float = 0.0
    """Smallest weight."""

    bottom_count: ClassVar[Count] = Count(3)
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    indices: ClassVar[tuple[int, ...]] = (2,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a value out of range."""
        result = super().from_caffe(layer)
        if result.num_iter < 1:
            fail(f"`num_iter` is {result.num_iter}: it must be 1 or more", code="E103", field="num_iter")
        for name in ("spatial_sigma", "range_sigma"):
            if not 0 < getattr(result, name) < math.inf:
                fail(f"`{name}` is {getattr(result, name):g}: it must be positive", code="E103", field=name)
        if not result.min_weight >= 0:
            fail(f"`min_weight` is {result.min_weight:g}: it must be 0 or more", code="E103", field="min_weight")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        first, edges, sizes = bottoms
        if len(first) != 4 or differ(edges, (first[0], 1, *first[2:])):
            fail(f"expected (n, c, h, w) and (n, 1, h, w), got {text(first)} and {text(edges)}", field="bottom")
        if not sizes or differ(sizes[0], first[0]) or differ(product(sizes[1:]), 2):
            fail(f"expected a height and a width for each image, got {text(sizes)}", field="bottom")
        return (first,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """A subtraction, a multiplication and an addition per element, direction and round."""
        return Cost(operations=12 * self.num_iter * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a region that exceeds the plane."""
        import torch

        from netc.functions.recursive_filter import recursive_filter

        x, edges, sizes = bottoms
        self.infer((tuple(x.shape), tuple(edges.shape), tuple(sizes.shape)), 1)
        inside = _inside(x, sizes, mode)
        for round_ in range(self.num_iter):
            weight = torch.where(inside, self._weight(edges, round_), 0)
            backward = torch.nn.functional.pad(weight[..., 1:], (0, 1))
            x = recursive_filter(x, weight)
            x = recursive_filter(x.flip(3), backward.flip(3)).flip(3)
            across, weight = x.transpose(2, 3), weight.transpose(2, 3)
            backward = torch.nn.functional.pad(weight[..., 1:], (0, 1))
            across = recursive_filter(across, weight)
            x = recursive_filter(across.flip(3), backward.flip(3)).flip(3).transpose(2, 3)
        return x

    def _weight(self, edges: Tensor, round_: int) -> Tensor:
        """The weights of a round; their derivative is that of the exponential, at the bounds too, as in the fork."""
        power = 2.0 ** (self.num_iter - (round_ + 1)) / math.sqrt(4.0**self.num_iter - 1)
        sigma = self.spatial_sigma * math.sqrt(3) * power
        exponent = (edges * (self.spatial_sigma / self.range_sigma) + 1) * (-math.sqrt(2) / sigma)
        free = exponent.detach()
        bounded = free.exp().clamp(min(self.min_weight, 1.0), 1.0)
        return bounded + bounded * (exponent - free)


def _inside(x: Tensor, sizes: Tensor, mode: Mode) -> Tensor:
    """Where the region of each image is, with shape (n, 1, h, w)."""
    import torch

    n, _, h, w = x.shape
    pairs = sizes.detach().reshape(n, 2)
    mode.check_range(pairs[:, 0], 0, h + 1, "height")
    mode.check_range(pairs[:, 1], 0, w + 1, "width")
    rows = torch.arange(h, device=x.device) < pairs[:, :1].trunc()
    columns = torch.arange(w, device=x.device) < pairs[:, 1:].trunc()
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
