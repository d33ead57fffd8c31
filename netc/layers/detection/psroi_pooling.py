"""PSROIPooling: position-sensitive averages of the bins of regions of interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.detection._regions import check_regions, split

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 0.1
"""The smallest extent of a region, in positions of the features."""


@register("PSROIPooling", dialect="rfcn", field="psroi_pooling_param")
@dataclass(frozen=True)
class PsRoiPooling(Layer):
    """Averages each bin of each region, for each bin over channels of its own.

    The corners of a region are rounded, halves away from zero, and then scaled; the position after the second corner
    ends the region. Bin (i, j) of output d averages channel (d g + i) g + j, with g = `group_size`. Bins outside the
    image are 0.

    Shapes: features (n, output_dim g g, h, w) and regions (r, 5), of image, x1, y1, x2, y2, to (r, output_dim, g, g).

    >>> PsRoiPooling(1 / 16, 21, 7).infer(((1, 1029, 38, 63), (300, 5)), 1)
    ((300, 21, 7, 7),)

    Reference: `psroi_pooling_layer.cpp` and `.cu` of R-FCN's Caffe; Dai et al., R-FCN, 2016.
    """

    spatial_scale: float = 0.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""
    output_dim: int = 0
    """Number of channels of the top."""
    group_size: int = 0
    """Number of bins along each axis."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other bottoms, E103 for parameters that are missing."""
        for name in ("spatial_scale", "output_dim", "group_size"):
            if not getattr(self, name) > 0:
                fail(f"`{name}` is required and must be positive", code="E103", field=name)
        regions, wanted = check_regions(bottoms), self.output_dim * self.group_size**2
        if differ(bottoms[0][1], wanted):
            fail(
                f"expected {wanted} channels, `output_dim` {self.output_dim} times `group_size` {self.group_size} "
                f"squared, got {bottoms[0][1]}",
                field="bottom",
            )
        return ((regions, self.output_dim, self.group_size, self.group_size),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two additions per element of the features, and five operations per bin."""
        return Cost(operations=2 * product(bottoms[0]) + 5 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Sums over rectangles are differences of sums from the first corner, in float64."""
        features, groups = bottoms[0], self.group_size
        image, corners = split(bottoms[1], features.shape[0], mode)
        (left, right), (top, bottom) = self._edges(corners.to(features.dtype), features.shape[2], features.shape[3])
        sums = _sums_from_corner(features)
        sums = sums.view(features.shape[0], self.output_dim, groups, groups, *sums.shape[2:])
        bins = [_at(sums, image, row, column) for row in (top, bottom) for column in (left, right)]
        area = (bottom - top).clamp(min=0)[:, :, None] * (right - left).clamp(min=0)[:, None, :]
        mean = (bins[3] - bins[2] - bins[1] + bins[0]) / area.clamp(min=1)[:, None]
        return mean.masked_fill(area[:, None] == 0, 0).to(features.dtype)

    def _edges(self, corners: Tensor, height: int, width: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The edges of the columns of bins, and of the rows, within the image."""
        from netc.functions.bins import bin_edges, round_half_away

        start = round_half_away(corners[:, :2]) * self.spatial_scale
        end = (round_half_away(corners[:, 2:]) + 1) * self.spatial_scale
        size = (end - start).clamp(min=SMALLEST) / self.group_size
        zero = start.new_zeros(start.shape[0])
        columns, rows = (
            tuple(edge.clamp(0, extent).long() for edge in bin_edges(start[:, i], size[:, i], self.group_size, zero))
            for i, extent in enumerate((width, height))
        )
        return (columns[0], columns[1]), (rows[0], rows[1])


def _sums_from_corner(features: Tensor) -> Tensor:
    """(n, c, h + 1, w + 1): sums over the rows and columns before each position."""
    import torch.nn.functional as F

    return F.pad(features.double(), (1, 0, 1, 0)).cumsum(2).cumsum(3)


def _at(sums: Tensor, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The sums (r, d, g, g) at the corner of each bin, each of the bin's own channel; sums are (n, d, g, g, h, w)."""
    import torch

    _, outputs, groups, _, height, width = sums.shape
    bins = torch.arange(outputs * groups * groups, device=sums.device).view(1, outputs, groups, groups)
    channel = image[:, None, None, None] * (outputs * groups * groups) + bins
    place = (channel * height + row[:, None, :, None]) * width + column[:, None, None, :]
    return sums.reshape(-1)[place]
