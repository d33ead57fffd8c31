"""DeformablePSROIPooling: position-sensitive means of samples in bins that are moved by predicted offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers.detection._regions import check_regions, split

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 0.1
"""The smallest extent of a region, in positions of the features."""


@register("DeformablePSROIPooling", dialect="deformable", field="deformable_psroi_pooling_param")
@dataclass(frozen=True)
class DeformablePsRoiPooling(Layer):
    """The mean of bilinear samples in each bin of each region, for each bin from channels of its own.

    The corners of a region are rounded, halves away from zero, then scaled, and moved by half an element up and to the
    left; the position after the second corner ends the region. Bin (i, j) of output d samples channel (d g + i) g + j,
    with g = `group_size`, at the first corner of each of `sample_per_part` squared parts of the bin. A sample more than
    half an element outside the image is not counted, one closer is as on its edge; a bin without samples is 0.

    Unless `no_trans` is set, the third bottom moves the bins of each class by its values, x first, times `trans_std`
    and the size of the region. It has `part_size` squared places, and bin i takes that at floor(i / g `part_size`).

    Shapes: features (n, output_dim g g, h, w), regions (r, 5), of image, x1, y1, x2, y2, and offsets (r, 2 classes,
    part_size, part_size), to (r, output_dim, g, g).

    >>> DeformablePsRoiPooling(1 / 16, 21, 7, sample_per_part=4, no_trans=True).infer(((1, 1029, 38, 63), (300, 5)), 1)
    ((300, 21, 7, 7),)

    Reference: `deformable_psroi_pooling_layer.cpp` and `.cu` of Deformable R-FCN's Caffe, also in makefile/frcnn; Dai
    et al., Deformable Convolutional Networks, 2017.
    """

    spatial_scale: float = 0.0
    """Factor from pixels of the image, in which regions are given, to positions of the features."""
    output_dim: int = 0
    """Number of channels of the top."""
    group_size: int = 0
    """Number of bins along each axis."""
    part_size: int = 0
    """Number of offsets along each axis; required unless `no_trans` is set."""
    sample_per_part: int = 0
    """Number of samples of a bin along each axis."""
    trans_std: float = 0.0
    """Factor of the offsets; required unless `no_trans` is set."""
    no_trans: bool = False
    """Whether bins stay where they are; a third bottom is then not read."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """The regions, and what is not read."""
        return (1, 2) if self.no_trans else (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other bottoms, E103 for parameters that are missing."""
        moved = () if self.no_trans else ("part_size", "trans_std")
        for name in ("spatial_scale", "output_dim", "group_size", "sample_per_part", *moved):
            if not getattr(self, name) > 0:
                fail(f"`{name}` is required and must be positive", code="E103", field=name)
        regions, wanted = check_regions(bottoms), self.output_dim * self.group_size**2
        if differ(bottoms[0][1], wanted):
            fail(
                f"expected {wanted} channels, `output_dim` {self.output_dim} times `group_size` {self.group_size} "
                f"squared, got {bottoms[0][1]}",
                field="bottom",
            )
        if not self.no_trans:
            self._check_offsets(bottoms)
        return ((regions, self.output_dim, self.group_size, self.group_size),)

    def _check_offsets(self, bottoms: Shapes) -> None:
        if len(bottoms) < 3:
            fail("expected a third bottom with offsets", field="bottom", help="without offsets, set `no_trans: true`")
        offsets, part = bottoms[2], self.part_size
        if len(offsets) != 4 or differ(offsets[0], bottoms[1][0]) or any(differ(part, e) for e in offsets[2:]):
            fail(f"expected offsets (regions, 2 classes, {part}, {part}), got {text(offsets)}", field="bottom")
        if differ(offsets[1] % 2, 0) or differ(self.output_dim % (offsets[1] // 2), 0):
            message = f"{offsets[1]} channels of offsets are not two for each of a number of classes"
            fail(f"{message} that divides `output_dim` {self.output_dim}", field="bottom")

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Eight operations per sample."""
        return Cost(operations=8 * product(tops[0]) * self.sample_per_part**2)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring, without waiting for a GPU."""
        import torch

        features = bottoms[0]
        image, corners = split(bottoms[1], features.shape[0], mode)
        low, size = self._boxes(corners.to(features.dtype))
        moves = None if self.no_trans else self._moves(bottoms[2])
        steps = torch.arange(self.sample_per_part, device=low.device)
        bins = torch.arange(self.group_size, device=low.device)
        places = []
        for axis, shape in enumerate(((1, -1, 1, 1), (-1, 1, 1, 1))):  # (bins along h, along w, samples along h, w)
            each = size[:, axis] / self.group_size
            start = bins.view(shape) * _as_column(each) + _as_column(low[:, axis])
            part = steps.view(shape[2:] + shape[:2]) * _as_column(each / self.sample_per_part)
            if moves is not None:
                start = start[:, None] + moves[:, :, axis, :, :, None, None] * _as_column(size[:, axis])[:, None]
                part = part[:, None]
            else:
                start, part = start[:, None], part[:, None]
            places.append(start + part)
        classes = 1 if moves is None else moves.shape[1]
        whole = (low.shape[0], classes, *(self.group_size,) * 2, *(self.sample_per_part,) * 2)
        x, y = (place.expand(whole) for place in places)
        return self._means(features, image, y, x)

    def _boxes(self, corners: Tensor) -> tuple[Tensor, Tensor]:
        """The first corner of each region and its size, each (r, 2), x first."""
        from netc.functions.bins import round_half_away

        low = round_half_away(corners[:, :2]) * self.spatial_scale - 0.5
        high = (round_half_away(corners[:, 2:]) + 1) * self.spatial_scale - 0.5
        return low, (high - low).clamp(min=SMALLEST)

    def _moves(self, offsets: Tensor) -> Tensor:
        """The offset of each bin, in sizes of the region: (r, classes, 2, g, g)."""
        import numpy as np
        import torch

        parts = [int(part) for part in np.arange(self.group_size, dtype=np.float32) / self.group_size * self.part_size]
        for axis in (2, 3):
            offsets = torch.stack([offsets.select(axis, part) for part in parts], axis)
        regions, channels = offsets.shape[:2]
        return offsets.reshape(regions, channels // 2, 2, *offsets.shape[2:]) * self.trans_std

    def _means(self, features: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """The top, of samples at rows y and columns x (r, classes, g, g, s, s)."""
        import torch

        height, width = features.shape[2:]
        inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
        (top, bottom, down), (left, right, across) = (
            _sides(torch.where(inside, place, 0).clamp(0, extent - 1)) for place, extent in ((y, height), (x, width))
        )
        groups, outputs = self.group_size, self.output_dim // y.shape[1]
        channels = torch.arange(self.output_dim * groups**2, device=y.device)
        channels = channels.view(1, y.shape[1], outputs, groups, groups, 1, 1)
        plane = image.view(-1, 1, 1, 1, 1, 1, 1) * (self.output_dim * groups**2) + channels
        values = features.reshape(-1)

        def at(row: Tensor, column: Tensor) -> Tensor:
            return values[plane * (height * width) + (row * width + column)[:, :, None]]

        across, down = across[:, :, None], down[:, :, None]
        above = at(top, left) * (1 - across) + at(top, right) * across
        below = at(bottom, left) * (1 - across) + at(bottom, right) * across
        counted = inside[:, :, None].to(features.dtype)
        sums = ((above * (1 - down) + below * down) * counted).sum((5, 6))
        return (sums / counted.sum((5, 6)).clamp(min=1)).flatten(1, 2)


def _as_column(numbers: Tensor) -> Tensor:
    """Numbers of regions (r) for each bin and sample: (r, 1, 1, 1, 1)."""
    return numbers[:, None, None, None, None]


def _sides(place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The elements on both sides of each point, the same for a whole number, and the part of the second."""
    low = place.detach().floor()
    return low.long(), place.detach().ceil().long(), place - low
