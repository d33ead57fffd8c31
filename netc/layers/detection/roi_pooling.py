"""ROIPooling: the maximum of each bin of each region of interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.detection._regions import check_bins, check_regions, pooled_shape, split

if TYPE_CHECKING:
    from torch import Tensor


@register("ROIPooling", dialect="fast_rcnn", field="roi_pooling_param")
@dataclass(frozen=True)
class RoiPooling(Layer):
    """Divides each region of an image into `pooled_h` x `pooled_w` bins and takes the maximum of each.

    The corners of a region are scaled and rounded, halves away from zero; both belong to the region. Bins overlap
    where the extent is not divisible. Bins outside the image are empty, with the value 0. The gradient goes to the
    first maximum of a bin.

    Shapes: features (n, c, h, w) and regions (r, 5), of image, x1, y1, x2, y2, to (r, c, pooled_h, pooled_w).

    >>> RoiPooling(7, 7, 1 / 16).infer(((1, 512, 38, 63), (300, 5)), 1)
    ((300, 512, 7, 7),)

    Reference: `roi_pooling_layer.cpp` and `.cu` of Fast R-CNN's Caffe, of MS-CNN (`pad_ratio`) and of its panoramic
    port (`ringpad`); Girshick, Fast R-CNN, 2015.
    """

    pooled_h: int = 0
    """Number of bins along the height."""
    pooled_w: int = 0
    """Number of bins along the width."""
    spatial_scale: float = 1.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""
    pad_ratio: float = 0.0
    """Part of a region's extent by which it is enlarged on each side (MS-CNN)."""
    ringpad: int = 0
    """Whether columns continue at the other side of the image, if not 0 (panoramic images)."""

    caffe_fields: ClassVar[CaffeFields] = {
        name: (f"roi_pooling_param.{name}", "roi_pooling_param.pooled_size") for name in ("pooled_h", "pooled_w")
    }
    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `roi_pooling_param`; `pooled_size` is one number or two. Raises NetcError E103."""
        p = layer.message("roi_pooling_param")
        sizes = tuple(p.get("pooled_size", ()))
        if len(sizes) > 2:
            fail(f"`pooled_size` has {len(sizes)} values: expected 1 or 2", code="E103", field="pooled_size")
        height, width = (sizes[0], sizes[-1]) if sizes else (p["pooled_h"], p["pooled_w"])
        return cls(height, width, p["spatial_scale"], p["pad_ratio"], p["ringpad"])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other bottoms, E103 without bins."""
        bins = (self.pooled_h, self.pooled_w)
        check_bins(bins, "roi_pooling_param.pooled_h", "roi_pooling_param.pooled_w")
        return (pooled_shape(bottoms[0], check_regions(bottoms), bins),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element of the features and four per bin, at most."""
        return Cost(operations=product(bottoms[0]) + 4 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        from netc.functions.region_maximum import RegionMaximum

        features = bottoms[0]
        image, corners = split(bottoms[1], features.shape[0], mode)
        (left, right), (top, bottom) = self.edges(corners.to(features.dtype))
        height, width = features.shape[2:]
        if self.ringpad:
            left, right = _on_ring(left, right, width)
            features = torch.cat((features, features), 3)
        else:
            left, right = left.clamp(0, width), right.clamp(0, width)
        edges = (one.long() for one in (top.clamp(0, height), bottom.clamp(0, height), left, right))
        pooled: Tensor = RegionMaximum.apply(features, image, *edges)  # type: ignore[no-untyped-call]
        return pooled

    def edges(self, corners: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The edges of the columns of bins, and of the rows."""
        from netc.functions.bins import bin_edges, round_half_away

        low, high = corners[:, :2], corners[:, 2:]
        if self.pad_ratio:
            margin = (high - low + 1) * self.pad_ratio
            low, high = low - margin, high + margin
        start, end = round_half_away(low * self.spatial_scale), round_half_away(high * self.spatial_scale)
        extent = (end - start + 1).clamp(min=1)
        zero = start.new_zeros(start.shape[0])
        columns, rows = (
            bin_edges(zero, extent[:, i] / bins, bins, start[:, i])
            for i, bins in enumerate((self.pooled_w, self.pooled_h))
        )
        return columns, rows


def _on_ring(left: Tensor, right: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The edges on an image that is followed by itself: from 0 to twice its width."""
    start = left % width
    return start, start + (right - left).clamp(0, width)
