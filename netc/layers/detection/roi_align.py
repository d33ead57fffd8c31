"""ROIAlign of Cascade R-CNN: bilinear samples of regions at the corners of bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes
from netc.layers._registry import LayerUse, register
from netc.layers.detection._regions import check_bins, check_regions, pooled_shape, split

if TYPE_CHECKING:
    from torch import Tensor


def _in_roi_pooling(use: LayerUse) -> bool:
    """Whether `roi_pooling_param` is set; other forks have `roi_align_param`."""
    return "roi_pooling_param" in use.parameters


@register("ROIAlign", dialect="cascade_rcnn", field="roi_pooling_param", when=_in_roi_pooling)
@dataclass(frozen=True)
class RoiAlign(Layer):
    """Samples each region bilinearly at the corners of `pooled_h` x `pooled_w` bins.

    The mean of four corners, a pooling of 2 x 2 with stride 1, is the value of a bin. A region is enlarged on each side
    by `pad_ratio` of its size. The center of an element is half an element from its edge. Samples outside the image are
    0, and so are those of regions without an area.

    Shapes: features (n, c, h, w) and regions (r, 5), of image, x1, y1, x2, y2, to (r, c, pooled_h + 1, pooled_w + 1).

    >>> RoiAlign(7, 7, 1 / 16).infer(((1, 512, 38, 63), (300, 5)), 1)
    ((300, 512, 8, 8),)

    Reference: `roi_align_layer.cu` of Cascade R-CNN's Caffe; Cai and Vasconcelos, Cascade R-CNN, 2018. The layers of
    this name of other forks, with `roi_align_param`, differ from it and from each other.
    """

    pooled_h: int = 0
    """Number of bins along the height."""
    pooled_w: int = 0
    """Number of bins along the width."""
    spatial_scale: float = 1.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""
    pad_ratio: float = 0.0
    """Part of a region's size that is added on each side."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other bottoms, E103 without bins."""
        check_bins((self.pooled_h, self.pooled_w), "roi_pooling_param.pooled_h", "roi_pooling_param.pooled_w")
        return (pooled_shape(bottoms[0], check_regions(bottoms), (self.pooled_h + 1, self.pooled_w + 1)),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Eight operations per sample."""
        return Cost(operations=8 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        from netc.functions.points import sampled_grids

        features = bottoms[0]
        image, corners = split(bottoms[1], features.shape[0], mode)
        low, high = corners.to(features.dtype).chunk(2, 1)
        pad = (high - low + 1) * self.pad_ratio
        low, high = ((corner * self.spatial_scale - 0.5) for corner in (low - pad, high + pad))
        x, y = (
            low[:, axis, None] + torch.arange(bins + 1, device=low.device) * ((high - low) / bins)[:, axis, None]
            for axis, bins in enumerate((self.pooled_w, self.pooled_h))
        )
        used = (high > low).all(1)
        samples = sampled_grids(features, image, y, x)
        return samples * used[:, None, None, None]
