"""Interp: resizing of planes by bilinear or nearest interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.coordinate_map import CoordinateMap
from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("bilinear", "nearest_neighbor")


@register("Interp", dialect="pspnet", field="interp_param", v1="INTERP")
@dataclass(frozen=True)
class Interp(Layer):
    """Resizes planes by bilinear interpolation between elements whose corners coincide.

    Each axis is first cropped by -`pad_beg` elements at its start and -`pad_end` at its end. Of the e elements that are
    left, `zoom_factor` z makes (e - 1) z + 1, `shrink_factor` s makes (e - 1) / s + 1, rounded down, and both together
    shrink first. Otherwise the top has `height` and `width`, or the extents of the second bottom. With
    `nearest_neighbor`, each top element is the nearest bottom element.

    Shapes: (n, c, h, w) to (n, c, height, width).

    >>> Interp(zoom_factor=8).infer(((1, 21, 41, 33),), 1)
    ((1, 21, 321, 257),)

    Reference: `interp_layer.cpp` and `util/interp.cpp` of DeepLab and PSPNet.
    """

    height: int | None = None
    """Height of the top; needs `width`."""
    width: int | None = None
    """Width of the top; needs `height`."""
    zoom_factor: int | None = None
    """The distance of bottom elements in the top."""
    shrink_factor: int | None = None
    """The distance of top elements in the bottom."""
    pad_beg: int = 0
    """The negative of the number of elements to crop at the start of each axis."""
    pad_end: int = 0
    """The negative of the number of elements to crop at the end of each axis."""
    interp_type: str = "bilinear"
    """`bilinear` or `nearest_neighbor`."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """Elements are only moved to their nearest places."""
        return "moved" if self.interp_type == "nearest_neighbor" else "computed"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E101 if nothing sets the size, E103 for an invalid value."""
        p = layer.message("interp_param")
        result = super().from_caffe(layer)
        if result.interp_type not in KINDS:
            fail(f"unknown `interp_type` `{result.interp_type}`", code="E103", field="interp_type")
        if not p["align_corners"]:
            fail("`align_corners: false` is not supported", code="E103", field="align_corners")
        for name in ("height", "width", "zoom_factor", "shrink_factor"):
            if name in p and p[name] < 1:
                fail(f"`{name}` is {p[name]}: it must be 1 or more", code="E103", field=name)
        for name in ("pad_beg", "pad_end"):
            if p[name] > 0:
                fail(f"`{name}` is {p[name]}: it must be 0 or less", code="E103", field=name)
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 if nothing sets the size, E102 unless there are two spatial axes to crop."""
        first = bottoms[0]
        if len(first) != 4:
            fail(f"expected 4 axes, got {len(first)}", field="bottom")
        left = [extent + self.pad_beg + self.pad_end for extent in first[2:]]
        for extent, rest in zip(first[2:], left):
            if rest < 1:
                fail(f"`pad_beg` and `pad_end` crop all of {counted(extent, 'element')}", field="pad_beg")
        return ((*first[:2], *self.size(left, bottoms)),)

    def size(self, left: Sequence[int], bottoms: Shapes) -> tuple[int, ...]:
        """Return the height and width of the top, given those after cropping."""
        zoom, shrink = self.zoom_factor, self.shrink_factor
        if (zoom is None) == (shrink is None) and self.height is not None and self.width is not None:
            return (self.height, self.width)
        if zoom is not None or shrink is not None:
            shrunk = [(extent - 1) // (shrink or 1) for extent in left]
            return tuple(extent * (zoom or 1) + 1 for extent in shrunk)
        if len(bottoms) < 2:
            fail(
                "the size of the top is missing",
                code="E101",
                help="set `zoom_factor`, `shrink_factor`, or `height` and `width`",
            )
        if len(bottoms[1]) != 4:
            fail(f"expected 4 axes of the second bottom, got {len(bottoms[1])}", field="bottom")
        return bottoms[1][2:]

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """Known for `zoom_factor` alone: other sizes depend on the extents."""
        if self.zoom_factor is None or self.shrink_factor is not None:
            return None
        return ((float(self.zoom_factor), float(self.pad_beg * self.zoom_factor)),) * axes

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three interpolations between two numbers per element, each two multiplications and one addition."""
        return Cost(operations=9 * product(tops[0]) if self.interp_type == "bilinear" else 0)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Elements are copied if the size stays."""
        import torch

        x = bottoms[0]
        if x.dim() != 4 or self.pad_beg or self.pad_end:
            self.infer((tuple(x.shape), *(tuple(bottom.shape) for bottom in bottoms[1:])), 1)
            h, w = x.shape[2:]
            x = x[:, :, -self.pad_beg : h + self.pad_end, -self.pad_beg : w + self.pad_end]
        left = x.shape[2:]
        size = self.size(left, tuple(tuple(bottom.shape) for bottom in bottoms))
        if tuple(left) == size:
            return x.clone()
        if self.interp_type == "bilinear":
            top: Tensor = torch.ops.aten.upsample_bilinear2d(
                x, size, True
            )  # less than half the overhead of F.interpolate
            return top
        return _nearest(_nearest(x, 2, size[0]), 3, size[1])


def _nearest(x: Tensor, axis: int, extent: int) -> Tensor:
    """The nearest element on one axis, found in float32 as in the fork."""
    import torch

    step = (x.shape[axis] - 1) / (extent - 1) if extent > 1 else 0.0
    place = torch.arange(extent, device=x.device, dtype=torch.float32) * step
    return x.index_select(axis, (place.double() + 0.5).long())
