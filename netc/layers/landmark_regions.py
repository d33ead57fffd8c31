"""SubRegion and Hotspot: regions of images around landmarks, and maps of where landmarks are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, known, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor

MOST_EXTENT = 1 << 14
"""Limit of the heights and widths in the parameters."""
VISIBLE = 1e-4
"""Smaller values of a hotspot are 0."""


def _check(layer: Layer, positive_ones: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Raises NetcError E103 for extents that are not positive, E104 for large ones."""
    for name in positive_ones:
        positive((getattr(layer, name),), name)
    for name in names:
        if getattr(layer, name) > MOST_EXTENT:
            fail(f"`{name}` must be at most {MOST_EXTENT}", code="E104", field=name)


def _points(shape: Shape) -> int:
    """The number of points of an item. Raises NetcError E102 for an odd number of coordinates."""
    if len(shape) < 2 or (known(product(shape[1:])) and (shape[1] % 2 or differ(product(shape[2:]), 1))):
        fail(f"expected pairs of coordinates (n, 2 points), got {text(shape)}", field="bottom")
    return shape[1] // 2


@register("SubRegion", dialect="happynear", field="sub_region_param")
@dataclass(frozen=True)
class SubRegion(Layer):
    """Regions of each image around its points, zeros where they leave it.

    Points are relative to the center of an image of `data_width` by `data_height`, pixels of the bottom are scaled to
    it: the first row of a region is floor((y / data_height + 0.5) h - region_height // 2). The optional second and
    third top are the true points, relative to the regions' centers, and these centers, from the image's corner.

    Shapes: (n, c, h, w), points (n, 2 p) and true points (n, 2 p) to (n, p c, region_height, region_width), or to
    (p n, c, region_height, region_width) with `as_dim: 0`, and twice the points' shape.

    >>> SubRegion(3, 4, 100, 100).infer(((2, 3, 9, 9), (2, 10), (2, 10)), 3)
    ((2, 15, 3, 4), (2, 10), (2, 10))

    Reference: `subregion_layer.cu` of happynear's Caffe, whose CPU code has no gradient.
    """

    region_height: int
    """Height of the regions."""
    region_width: int
    """Width of the regions."""
    data_height: int
    """Height of the images that the points are in."""
    data_width: int
    """Width of the images that the points are in."""
    as_dim: int = 1
    """The axis along which regions follow each other: 0, of items, point by point, or 1, of channels."""

    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(1, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (1, 2)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for extents that are not positive, E104 for large ones."""
        result, names = super().from_caffe(layer), ("region_height", "region_width", "data_height", "data_width")
        _check(result, names, names[:2])
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 for two tops, E102 if the bottoms do not match."""
        x, points, truth = bottoms
        if tops == 2:
            fail("expected 1 or 3 tops, got 2", code="E101", field="top")
        if len(x) != 4:
            fail(f"expected a bottom with 4 axes, got {text(x)}", field="bottom")
        count = _points(points)
        if differ(points[0], x[0]) or differ(product(truth), product(points)):
            fail(f"points {text(points)} and {text(truth)} for images {text(x)}", field="bottom")
        region = (self.region_height, self.region_width)
        top = (x[0], x[1] * count, *region) if self.as_dim else (x[0] * count, x[1], *region)
        return (top, points, points)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Ten operations per point; the rest is copied."""
        return Cost(operations=10 * product(bottoms[1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The points are rounded as in the fork: the division in their own type, the rest in float64."""
        import torch

        x, points = bottoms[0], bottoms[1].detach().flatten(1)
        n, c, h, w = x.shape
        data = points.new_tensor((self.data_width, self.data_height))
        image = torch.tensor((w, h), dtype=torch.float64, device=x.device)
        half = points.new_tensor((self.region_width // 2, self.region_height // 2))
        centers = (((points.reshape(n, -1, 2) / data).double() + 0.5) * image).to(points.dtype)
        corners = (centers - half).floor()
        columns, inside_w = self._line(corners[..., 0], self.region_width, w)
        rows, inside_h = self._line(corners[..., 1], self.region_height, h)
        places = (rows.unsqueeze(3) * w + columns.unsqueeze(2)).reshape(n, 1, -1)
        inside = inside_h.unsqueeze(3) & inside_w.unsqueeze(2)
        found = x.flatten(2).gather(2, places.expand(n, c, places.shape[2])).reshape(n, c, *inside.shape[1:])
        regions = torch.where(inside.unsqueeze(1), found, 0).transpose(1, 2)
        top = regions.flatten(1, 2) if self.as_dim else regions.transpose(0, 1).flatten(0, 1)
        if mode.tops == 1:
            return (top,)
        size = points.new_tensor((self.region_width, self.region_height))
        middle = (corners + size / 2 + 0.5) / image.to(points.dtype) * data
        truth = bottoms[2].detach().reshape(n, -1, 2) + points.new_tensor((self.data_width // 2, self.data_height // 2))
        return (top, (truth - middle).reshape(bottoms[1].shape), middle.reshape(bottoms[1].shape))

    def _line(self, start: Tensor, length: int, extent: int) -> tuple[Tensor, Tensor]:
        """The positions of regions along one axis, and which of them are inside the image."""
        import torch

        positions = start.clamp(-MOST_EXTENT - 1, extent).nan_to_num(-MOST_EXTENT - 1).long().unsqueeze(2)
        positions = positions + torch.arange(length, device=start.device)
        return positions.clamp(0, extent - 1), (positions >= 0) & (positions < extent)


@register("Hotspot", dialect="happynear", field="hotspot_param")
@dataclass(frozen=True)
class Hotspot(Layer):
    """A map for each point: a Gaussian density around it, 0 where the density is 0.0001 or less.

    Points are in images of `data_width` by `data_height`, from the center, or from the corner if `mean_removed` is
    false; the map's pixels are scaled to it.

    Shapes: points (n, 2 p) and optionally a blob with the maps' size to (n, p, output_height, output_width).

    >>> Hotspot(data_height=96, data_width=96).infer(((2, 10), (2, 3, 24, 32)), 1)
    ((2, 5, 24, 32),)

    Reference: `hotspot_layer.cpp` of happynear's Caffe.
    """

    data_height: int
    """Height of the images that the points are in."""
    data_width: int
    """Width of the images that the points are in."""
    output_height: int = 0
    """Height of the maps; 0 for that of the second bottom."""
    output_width: int = 0
    """Width of the maps; 0 for that of the second bottom."""
    gaussian_std: float = 1.0
    """Standard deviation of the density, in pixels of the map."""
    mean_removed: bool = True
    """Whether points are relative to the center."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for numbers that are not positive, E104 for large extents."""
        result = super().from_caffe(layer)
        _check(result, ("data_height", "data_width"), ("output_height", "output_width"))
        if not result.gaussian_std > 0:
            fail(f"`gaussian_std` is {result.gaussian_std:g}: it must be positive", code="E103", field="gaussian_std")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without a size, E102 for an odd number of coordinates."""
        points, size = _points(bottoms[0]), (self.output_height, self.output_width)
        if 0 in size:
            if len(bottoms) < 2:
                fail(
                    "`output_height` and `output_width` are needed without a second bottom",
                    code="E101",
                    field="hotspot_param.output_height",
                )
            if len(bottoms[1]) != 4:
                fail(f"expected a second bottom with 4 axes, got {text(bottoms[1])}", field="bottom")
            size = (bottoms[1][2], bottoms[1][3])
        return ((bottoms[0][0], points, *size),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per pixel."""
        return Cost(operations=3 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The density is the product of one along the rows and one along the columns."""
        import torch

        n, _, h, w = self.infer(tuple(tuple(bottom.shape) for bottom in bottoms), 1)[0]
        points = bottoms[0].detach().reshape(n, -1, 2)
        shift = 0.5 if self.mean_removed else 0.0
        lines = []
        for index, (extent, data) in enumerate(((w, self.data_width), (h, self.data_height))):
            center = (points[..., index] / data + shift) * extent
            distance = torch.arange(extent, device=points.device) - center.unsqueeze(2)
            lines.append((-0.5 * (distance / self.gaussian_std).square()).exp())
        density = lines[1].unsqueeze(3) * lines[0].unsqueeze(2) * (0.5 / self.gaussian_std**2 / math.pi)
        return torch.where(density > VISIBLE, density, 0)
