"""ROIWarping of MNC: bilinear samples of regions, with a gradient for the regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes
from netc.layers._registry import register
from netc.layers.detection._regions import check_bins, check_regions, pooled_shape, split

if TYPE_CHECKING:
    from torch import Tensor


@register("ROIWarping", dialect="mnc", field="roi_warping_param")
@dataclass(frozen=True)
class RoiWarping(Layer):
    """Samples each region bilinearly at the first corners of `pooled_h` x `pooled_w` bins.

    The corners of a region are scaled and rounded, halves away from zero. Samples more than half an element outside the
    image are 0. Both bottoms get a gradient: that of the features misses elements at the end of bins smaller than an
    element, and that of the regions is 0 for samples at the last row or column, both as in the fork.

    Shapes: features (n, c, h, w) and regions (r, 5), of image, x1, y1, x2, y2, to (r, c, pooled_h, pooled_w).

    >>> RoiWarping(28, 28, 1 / 16).infer(((1, 512, 38, 63), (300, 5)), 1)
    ((300, 512, 28, 28),)

    Reference: `roi_warping_layer.cu` of MNC's Caffe in its last version (earlier ones take the maximum of several
    samples); Dai et al., Instance-aware Semantic Segmentation via Multi-task Network Cascades, 2016.
    """

    pooled_h: int = 0
    """Number of samples along the height."""
    pooled_w: int = 0
    """Number of samples along the width."""
    spatial_scale: float = 1.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""

    bottom_count: ClassVar[Count] = Count(2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other bottoms, E103 without samples."""
        bins = (self.pooled_h, self.pooled_w)
        check_bins(bins, "roi_warping_param.pooled_h", "roi_warping_param.pooled_w")
        return (pooled_shape(bottoms[0], check_regions(bottoms), bins),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Eight operations per sample."""
        return Cost(operations=8 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring, without waiting for a GPU."""
        from netc.functions.bins import round_half_away
        from netc.functions.region_samples import Axis, RegionSamples

        features, regions = bottoms
        _, corners = split(regions, features.shape[0], mode)
        x1, y1, x2, y2 = round_half_away(corners.to(features.dtype) * self.spatial_scale).unbind(1)
        height, width = features.shape[2:]
        rows, columns = Axis(y1, y2, self.pooled_h, height), Axis(x1, x2, self.pooled_w, width)
        samples: Tensor = RegionSamples.apply(  # type: ignore[no-untyped-call]
            features, regions, self.spatial_scale, rows, columns
        )
        return samples
