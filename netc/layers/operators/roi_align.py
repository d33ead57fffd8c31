"""Averages of samples in the bins of regions of interest: RoIAlign, RoIAlignRotated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import NetcError
from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, channel_axis, check_axes, check_order
from netc.layers._operators import operator

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@operator("RoIAlign", "RoIAlignRotated")
@dataclass(frozen=True)
class RoiAlignOperator(OperatorLayer):
    """Means of bilinear samples in `pooled_h` x `pooled_w` bins of each region.

    Samples form a grid within each bin. Those more than one element outside the image are 0. A rotated region is turned
    around its center, counterclockwise. Only the features get a gradient; Caffe2's is 0 for NHWC, this is the
    derivative.

    Shapes: features (n, c, h, w) and regions (r, 5) of image, x1, y1, x2, y2 to (r, c, pooled_h, pooled_w); rotated
    regions (r, 6) of image, center x and y, width, height and angle in degrees. With one column less, the image is the
    first. NHWC: (n, h, w, c) to (r, pooled_h, pooled_w, c).

    >>> RoiAlignOperator(1 / 16, 7, 7).infer(((1, 512, 38, 63), (300, 5)), 1)
    ((300, 512, 7, 7),)

    Reference: `roi_align_op.cc`, `roi_align_gradient_op.cc`, `roi_align_rotated_op.cc`; He et al., Mask R-CNN, 2017.
    """

    spatial_scale: float = 1.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""
    pooled_h: int = 1
    """Number of bins along the height."""
    pooled_w: int = 1
    """Number of bins along the width."""
    sampling_ratio: int = -1
    """Number of samples along each side of a bin; if not positive, one per element of the bin, rounded up."""
    aligned: bool = False
    """Whether an element is half an element from its edge; otherwise regions are at least one element wide and high."""
    order: str = "NCHW"
    """The order of the axes, NCHW or NHWC."""
    rotated: bool = False
    """Whether regions have an angle."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 without bins, and for an unknown `order`."""
        pooled_h, pooled_w = operator.integer("pooled_h", 1), operator.integer("pooled_w", 1)
        for name, bins in (("pooled_h", pooled_h), ("pooled_w", pooled_w)):
            if bins < 1:
                operator.fail(f"`{name}: {bins}` must be positive", name)
        order = operator.text("order", "NCHW")
        check_order(order)
        scale = operator.real("spatial_scale", 1.0)
        ratio, aligned = operator.integer("sampling_ratio", -1), operator.flag("aligned")
        rotated = operator.type == "RoIAlignRotated"
        return cls(scale, pooled_h, pooled_w, ratio, aligned, order.upper(), rotated)

    @property
    def _columns(self) -> int:
        """The numbers of a region with its image."""
        return 6 if self.rotated else 5

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless features have 4 axes, and regions the numbers described above."""
        x, regions = bottoms
        check_axes("RoIAlign", x, 4)
        channels = x[channel_axis(self.order, 4)]
        empty = len(regions) > 0 and product(regions) == 0
        if not empty:
            check_axes("RoIAlign", regions, 2, 1)
            if differ(regions[1], self._columns) and differ(regions[1], self._columns - 1):
                fail(
                    f"expected regions of {self._columns - 1} or {self._columns} numbers, got {text(regions)}",
                    field="input",
                )
        bins = (self.pooled_h, self.pooled_w)
        rows = 0 if empty else regions[0]
        return ((rows, channels, *bins) if self.order == "NCHW" else (rows, *bins, channels),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Eight operations per sample."""
        return Cost(operations=8 * max(self.sampling_ratio, 1) ** 2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an image that does not exist, and for a negative extent if `aligned`."""
        x, regions = bottoms[0], bottoms[1].detach()
        images = x.permute(0, 2, 3, 1) if self.order == "NCHW" else x
        shape = self.infer((tuple(x.shape), tuple(regions.shape)), 1)[0]
        if regions.numel() == 0:
            return x.new_zeros(shape)
        image = regions.new_zeros(len(regions))
        if regions.shape[1] == self._columns:
            image, regions = regions[:, 0].trunc(), regions[:, 1:]
            mode.check_range(image, 0, images.shape[0], "image of a region")
        image = image.long().clamp(0, max(images.shape[0] - 1, 0))
        means = self._means(images, image, self._boxes(regions.to(x.dtype)))
        return means.permute(0, 3, 1, 2) if self.order == "NCHW" else means

    def _boxes(self, regions: Tensor) -> Tensor:
        """(r, 4) or (r, 5): center x and y or the first corner, width, height, and the angle, of the features."""
        first, sizes = regions[:, :2], regions[:, 2:4]
        first, sizes = first * self.spatial_scale, sizes * self.spatial_scale
        sizes = sizes if self.rotated else sizes - first
        if not self.aligned:
            sizes = sizes.clamp(min=1)
        elif bool((sizes < 0).any()):
            raise NetcError("a region has a negative extent", code="E301")
        return _joined(first - 0.5 if self.aligned else first, sizes, regions[:, 4:])

    def _means(self, images: Tensor, image: Tensor, boxes: Tensor) -> Tensor:
        """(r, ph, pw, c): the means, of the regions whose bins have equal numbers of samples at once."""
        from netc.functions.region_averages import region_averages

        found = images.new_empty(len(boxes), self.pooled_h, self.pooled_w, images.shape[3])
        parts = [
            (rows, region_averages(images, image[rows], *self._points(boxes[rows], samples)))
            for rows, samples in self._grids(boxes)
        ]
        if len(parts) == 1:
            return parts[0][1]
        for rows, means in parts:
            found = found.index_copy(0, rows, means)
        return found

    def _grids(self, boxes: Tensor) -> Iterator[tuple[Tensor, tuple[int, int]]]:
        """The regions by the numbers of samples along the height and width of their bins."""
        import torch

        every = torch.arange(len(boxes), device=boxes.device)
        if self.sampling_ratio > 0:
            yield every, (self.sampling_ratio, self.sampling_ratio)
            return
        bins = boxes.new_tensor([self.pooled_h, self.pooled_w])
        samples: Any = (boxes[:, [3, 2]] / bins).ceil().long()
        grids, which = samples.unique(dim=0, return_inverse=True)
        for index, (height, width) in enumerate(grids.tolist()):
            yield every[which == index], (height, width)

    def _points(self, boxes: Tensor, samples: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(r, ph, pw, k) twice: the rows and columns of samples."""
        height, width = samples
        y = _along(boxes[:, 3], self.pooled_h, height)
        x = _along(boxes[:, 2], self.pooled_w, width)
        shape = (len(boxes), self.pooled_h, self.pooled_w, height, width)
        y, x = y[:, :, None, :, None].expand(shape).flatten(3), x[:, None, :, None].expand(shape).flatten(3)
        left, top = (boxes[:, axis, None, None, None] for axis in (0, 1))
        if not self.rotated:
            return y + top, x + left
        y, x = (place - boxes[:, axis, None, None, None] / 2 for place, axis in ((y, 3), (x, 2)))
        angle = boxes[:, 4].deg2rad()[:, None, None, None]
        cos, sin = angle.cos(), angle.sin()
        return y * cos - x * sin + top, x * cos + y * sin + left


def _joined(*parts: Tensor) -> Tensor:
    import torch

    return torch.cat(parts, 1)


def _along(extent: Tensor, bins: int, samples: int) -> Tensor:
    """(r, bins, samples): the places of samples along a side of regions, from 0."""
    import torch

    def steps(count: int) -> torch.Tensor:
        return torch.arange(count, dtype=extent.dtype, device=extent.device)

    size = (extent / bins)[:, None, None]
    return steps(bins)[:, None] * size + (steps(samples) + 0.5) * size / max(samples, 1)
