"""ImResize of OpenPose's first version: heat maps are enlarged and averaged over scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, known, product, text
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.transform import MAX_PIXELS
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

MOST = 10_000
"""Limit of factors."""
SLACK = 1e-5
"""Places that are nearer to the next pixel belong to it."""


@register("ImResize", dialect="rtpose", field="imresize_param")
@dataclass(frozen=True)
class ImResize(Layer):
    """The mean of the maps of all items, each enlarged by bicubic interpolation.

    Item i is the image at the scale `start_scale` - i `scale_gap`: only the middle of its map is enlarged, without a
    border of half of what is missing to 1. The original has no backward pass.

    Shapes: (n, c, h, w) to (1, c, factor h, factor w), or (1, c, target_spatial_height, target_spatial_width).

    >>> ImResize(factor=8.0).infer(((3, 57, 46, 82),), 1)
    ((1, 57, 368, 656),)

    Reference: `imresize_layer.cu` of CMU-Perceptual-Computing-Lab/caffe_rtpose.
    """

    target_spatial_width: int = 0
    """Width of the top, without `factor`."""
    target_spatial_height: int = 0
    """Height of the top, without `factor`."""
    factor: float = 0.0
    """The factor of height and width; 0 for the sizes above."""
    start_scale: float = 1.0
    """Scale of the first item."""
    scale_gap: float = 0.1
    """How much smaller each further item is."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom that is not maps, E103 without a size, E104 for a large one."""
        shape = bottoms[0]
        if len(shape) != 4:
            fail(f"expected maps (n, c, h, w), got {text(shape)}", field="bottom")
        for name in ("factor", "start_scale", "scale_gap"):
            if not abs(getattr(self, name)) <= MOST:
                fail(f"`{name}` must be at most {MOST}", code="E103", field=name)
        height, width = self._size(shape)
        if known(height) and known(width):
            if min(height, width) < 1:
                fail("`factor`, or both target sizes, must be positive", code="E103", field="factor")
            if height * width > MAX_PIXELS:
                fail("the top is larger than the limit", code="E104", field="factor")
        for number in range(shape[0] if known(shape[0]) else 0):
            for extent in filter(known, shape[2:]):
                self._border(number, extent)
        return ((1, shape[1], height, width),)

    def _border(self, number: int, extent: int) -> int:
        """The pixels on each side of an item's map that are not enlarged. Raises NetcError E103 if that is all."""
        border = math.floor(extent // 2 * (1 - self.start_scale + number * self.scale_gap))
        if not 0 <= 2 * border < extent:
            message = f"the scale of item {number} leaves no part of {extent} pixels"
            fail(message, code="E103", field="scale_gap")
        return border

    def _size(self, shape: Shape) -> tuple[int, int]:
        if self.factor <= 0:
            return self.target_spatial_height, self.target_spatial_width
        height, width = (int(extent * self.factor) if known(extent) else extent for extent in shape[2:])
        return height, width

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Forty operations per value of the top and item."""
        return Cost(operations=40 * product(tops[0]) * bottoms[0][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """As two products with matrices, for the rows and the columns."""
        import torch

        maps = bottoms[0]
        height, width = self._size(tuple(maps.shape))
        found = []
        for number, item in enumerate(maps):
            rows, columns = (
                _weights(extent, self._border(number, extent), size, maps)
                for extent, size in zip(item.shape[1:], (height, width))
            )
            found.append(rows @ item @ columns.T)
        return torch.stack(found).mean(0, keepdim=True)


def _weights(extent: int, border: int, size: int, like: Tensor) -> Tensor:
    """The weight of each of `extent` places in each of `size` enlarged ones (size, extent)."""
    import torch
    import torch.nn.functional as F

    middle = extent - 2 * border
    at = (torch.arange(size, dtype=torch.float64, device=like.device) - (size / middle / 2 - 0.5)) * (middle / size)
    first = (at + SLACK).trunc().clamp(min=0)
    d = at - first
    factors = (
        ((-0.5 * d + 1) * d - 0.5) * d,
        (1.5 * d - 2.5) * d * d + 1,
        ((-1.5 * d + 2) * d + 0.5) * d,
        (0.5 * d - 0.5) * d * d,
    )
    found = at.new_zeros(size, middle)
    for shift, factor in zip((-1, 0, 1, 2), factors):
        found.scatter_add_(1, (first + shift).clamp(0, middle - 1).long()[:, None], factor[:, None])
    return F.pad(found, (border, border)).to(like)
