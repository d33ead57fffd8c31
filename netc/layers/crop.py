"""Crop: a region of one bottom with the extents of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import counted
from netc.ir.coordinate_map import CoordinateMap
from netc.ir.dims import text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._axes import axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Crop", field="crop_param")
@dataclass(frozen=True)
class Crop(Layer):
    """Crops the first bottom to the extents of the second, on `axis` and all axes after it.

    Shapes: (n, c, h, w) and (m, d, oh, ow) to (n, c, oh, ow) with axis 2.

    >>> Crop(offset=(19,)).infer(((1, 21, 568, 568), (1, 3, 500, 500)), 1)
    ((1, 21, 500, 500),)

    Reference: `crop_layer.cpp`.
    """

    axis: int = 2
    """First axis to crop."""
    offset: tuple[int, ...] = ()
    """Start of the cropped region: one number per axis, one for all, or none for 0."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"
    aligns_bottoms: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101, or E102 if the region exceeds the first bottom."""
        first, second = bottoms
        if len(first) != len(second):
            fail(
                f"bottoms with {len(first)} and {counted(len(second), 'axis')}: {text(first)}, {text(second)}",
                field="bottom",
            )
        axis = axis_of(self.axis, first)
        for i, start in enumerate(self.offsets(len(first) - axis), axis):
            if first[i] - start < second[i]:
                fail(
                    f"axis {i} of {counted(first[i], 'element')} is too short for {second[i]} from offset {start}",
                    field="offset",
                )
        return ((*first[:axis], *second[axis:]),)

    def offsets(self, axes: int) -> tuple[int, ...]:
        """Return the start of the region on each of the last `axes` axes."""
        if len(self.offset) > 1 and len(self.offset) != axes:
            fail(
                f"{counted(len(self.offset), 'value')} of `offset` for {counted(axes, 'axis')}",
                code="E101",
                field="offset",
            )
        return self.offset if len(self.offset) > 1 else (self.offset or (0,)) * axes

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """Moves by the offset."""
        cropped = axes + 2 - (self.axis if self.axis >= 0 else self.axis + axes + 2)
        offsets = (0,) * axes + self.offsets(cropped)
        return tuple((1.0, -float(offset)) for offset in offsets[len(offsets) - axes :])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A view of the first bottom."""
        self.infer((tuple(bottoms[0].shape), tuple(bottoms[1].shape)), 1)
        top, axis = bottoms[0], axis_of(self.axis, tuple(bottoms[0].shape))
        for i, start in enumerate(self.offsets(top.dim() - axis), axis):
            top = top.narrow(i, start, bottoms[1].shape[i])
        return top
