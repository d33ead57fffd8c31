"""The highest point of each heat map: HeatmapMaxKeypoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, known, product, text
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.layers._operator_layer import OperatorLayer, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_STEP = 1.5
"""Bound of the distance, in elements along each axis, between the maximum and the highest point."""
FLAT = 1e-4
"""The maximum itself is the highest point where the determinant of the second derivatives is smaller."""


@operator("HeatmapMaxKeypoint")
@dataclass(frozen=True)
class HeatmapMaxKeypoint(OperatorLayer):
    """The highest point of each heat map of each box: x, y in pixels, its height, and its probability.

    A quadratic function through the maximum and its neighbors, mirrored at the edge, refines the maximum. The
    probability, 0 without `should_output_softmax`, is the softmax over the map at the maximum.

    Shapes: heat maps (n, k, s, s), boxes (n, 4 or more) of x1, y1, x2, y2 to (n, 4, k).

    Reference: `heatmap_max_keypoint_op.cc`.
    """

    should_output_softmax: bool = False
    """Whether the probability is computed."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for maps that are not square or smaller than 2 x 2, and for boxes that do not match."""
        maps, boxes = bottoms
        check_axes(self.type, maps, 4)
        check_axes(self.type, boxes, 2, 1)
        if differ(maps[2], maps[3]) or maps[2] < 2:
            fail(f"heat maps {text(maps)} must be square, and at least 2 x 2", field="input")
        if differ(boxes[0], maps[0]) or (known(boxes[1]) and boxes[1] < 4):
            fail(f"expected one box per item of the heat maps {text(maps)}, got {text(boxes)}", field="input")
        return ((maps[0], 4, maps[1]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element."""
        return Cost(operations=product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        maps, boxes = (bottom.detach() for bottom in bottoms)
        size = maps.shape[3]
        flat = maps.flatten(2)
        place = flat.argmax(2)
        row, column = place // size, place % size
        rows, columns = (torch.stack([_mirrored(at + step, size) for step in (-1, 0, 1)], 2) for at in (row, column))
        near = flat.gather(2, (rows[..., None] * size + columns[:, :, None]).flatten(2)).view(*place.shape, 3, 3)
        step_x, step_y, height = _highest(near)
        x1, y1, x2, y2 = (boxes[:, i, None] for i in range(4))
        x = x1 + (0.5 + column + step_x) * (x2 - x1).clamp(min=1) / size
        y = y1 + (0.5 + row + step_y) * (y2 - y1).clamp(min=1) / size
        probability = torch.zeros_like(x)
        if self.should_output_softmax:
            probability = flat.softmax(2).gather(2, place[..., None])[..., 0]
        return torch.stack((x, y, height, probability), 1)


def _mirrored(place: Tensor, size: int) -> Tensor:
    import torch

    return torch.where(place >= size, place - 2, place.abs())


def _highest(near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Steps along x and y to the highest point, and its height, of neighborhoods (..., 3, 3) of a maximum."""
    import torch

    middle = near[..., 1, 1]
    slope_x, slope_y = (near[..., 1, 2] - near[..., 1, 0]) / 2, (near[..., 2, 1] - near[..., 0, 1]) / 2
    xx = near[..., 1, 0] - 2 * middle + near[..., 1, 2]
    yy = near[..., 0, 1] - 2 * middle + near[..., 2, 1]
    xy = (near[..., 2, 2] - near[..., 2, 0] - near[..., 0, 2] + near[..., 0, 0]) / 4
    determinant = xx * yy - xy * xy
    flat = determinant.abs() < FLAT
    divisor = torch.where(flat, 1, determinant)
    x, y = (xy * slope_y - yy * slope_x) / divisor, (xy * slope_x - xx * slope_y) / divisor
    longest = torch.maximum(x.abs(), y.abs())
    x, y = (torch.where(longest > LARGEST_STEP, step / longest * LARGEST_STEP, step) for step in (x, y))
    x, y = x.masked_fill(flat, 0), y.masked_fill(flat, 0)
    height = middle + slope_x * x + slope_y * y + (xx * x * x + 2 * xy * x * y + yy * y * y) / 2
    return x, y, height
