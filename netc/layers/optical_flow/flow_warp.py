"""FlowWarp and Warp: an image sampled where a flow field, or coordinates, point. Grid: the coordinates of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.ir.dims import differ, product, text
from netc.ir.dtypes import is_floating
from netc.ir.layer import Cost, Count, DTypes, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.optical_flow._planes import one_batch, planes
from netc.layers.optical_flow._sampling import bilinear

if TYPE_CHECKING:
    from torch import Tensor


class _Sampler(Layer):
    """Base of the layers that sample the first bottom where the second points."""

    bottom_count: ClassVar[Count] = Count(2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the second bottom is not a field of vectors for the first."""
        image, field = planes(self.type, bottoms)
        one_batch(bottoms)
        if differ(field[1], 2):
            fail(f"expected 2 channels in the second bottom (x and y), got {field[1]}", field="bottom")
        if differ(image[2:], field[2:]):
            fail(f"bottoms have different heights or widths: {text(image)}, {text(field)}", field="bottom")
        return (image,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four multiplications and three additions per element."""
        return Cost(operations=7 * product(tops[0]))


@register("FlowWarp", dialect="flownet2", field="flow_warp_param")
@dataclass(frozen=True)
class FlowWarp(_Sampler):
    """Moves an image back along a flow: the top at x is the image at x + flow(x), bilinearly interpolated.

    Positions outside the image (x < 0 or x >= width, likewise y) are filled; between the last column and the width,
    the last column is repeated.

    Shapes: (n, c, h, w) and (n, 2, h, w), whose channels are x and y in pixels, to (n, c, h, w).

    >>> FlowWarp().infer(((1, 3, 6, 7), (1, 2, 6, 7)), 1)
    ((1, 3, 6, 7),)

    Reference: `flow_warp_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    fill_value: Literal["ZERO", "NOT_A_NUMBER"] = "ZERO"
    """What positions outside the image are filled with."""

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A flow that is NaN points outside."""
        import torch

        image, flow = bottoms
        h, w = image.shape[2:]
        x = flow[:, 0] + torch.arange(w, device=flow.device, dtype=flow.dtype)
        y = flow[:, 1] + torch.arange(h, device=flow.device, dtype=flow.dtype).unsqueeze(1)
        outside = ~((x >= 0) & (x < w) & (y >= 0) & (y < h))
        top = bilinear(image, x, y, outside)
        return top if self.fill_value == "ZERO" else torch.where(outside.unsqueeze(1), float("nan"), top)


@register("Warp", dialect="liteflownet")
@dataclass(frozen=True)
class Warp(_Sampler):
    """The image at given coordinates, bilinearly interpolated with zeros around it.

    Shapes: (n, c, h, w) and (n, 2, h, w), the x and y of each position in pixels, to (n, c, h, w).

    >>> Warp().infer(((1, 3, 6, 7), (1, 2, 6, 7)), 1)
    ((1, 3, 6, 7),)

    Reference: `warp_layer.cpp` of LiteFlowNet (twhui/LiteFlowNet).
    """

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        image, place = bottoms
        return bilinear(image, place[:, 0], place[:, 1])


@register("Grid", dialect="liteflownet")
@dataclass(frozen=True)
class Grid(Layer):
    """The coordinates of each position of the bottom's plane, in pixels: x in the first channel, y in the second.

    Shapes: (n, c, h, w) to (n, 2, h, w).

    >>> Grid().infer(((1, 3, 6, 7),), 1)
    ((1, 2, 6, 7),)

    Reference: `grid_layer.cpp` of LiteFlowNet (twhui/LiteFlowNet).
    """

    no_gradient: ClassVar[tuple[int, ...]] = (0,)
    indices: ClassVar[tuple[int, ...]] = (0,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without 4 axes."""
        n, _, h, w = planes("Grid", bottoms)[0]
        return ((n, 2, h, w),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Real numbers, whatever the bottom holds."""
        return (bottoms[0] if is_floating(bottoms[0]) else "float32",)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        n, _, h, w = bottoms[0].shape
        dtype = bottoms[0].dtype if bottoms[0].is_floating_point() else torch.float32
        x, y = (torch.arange(extent, device=bottoms[0].device, dtype=dtype) for extent in (w, h))
        plane = torch.stack((x.expand(h, w), y.unsqueeze(1).expand(h, w)))
        return plane.unsqueeze(0).repeat(n, 1, 1, 1)
