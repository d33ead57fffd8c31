"""Permute: axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields, by_shape
from netc.ir.traits import Elements
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Permute", dialect="ssd", field="permute_param")
@dataclass(frozen=True)
class Permute(Layer):
    """Moves axes: axis i of the top is axis `order[i]` of the bottom; axes that are not named follow in their order.

    Shapes: (n, c, h, w) to (n, h, w, c) with order 0, 2, 3, 1.

    >>> Permute(order=(0, 2, 3, 1)).infer(((2, 24, 38, 37),), 1), Permute(order=(2,)).infer(((2, 3, 4),), 1)
    (((2, 38, 37, 24),), ((4, 2, 3),))

    Reference: `permute_layer.cpp` of SSD (weiliu89/caffe, branch ssd).
    """

    order: tuple[int, ...] = ()
    """The axes of the bottom, in the order of the top."""

    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """Known if the spatial axes are kept, or none are left."""
        return fields[0] if self.order[:4] == (0, 1, 2, 3)[: len(self.order)] else by_shape(fields[0], bottoms[0], top)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 for an axis that is named twice, E102 for one that the bottom does not have."""
        return (tuple(bottoms[0][axis] for axis in self.axes(len(bottoms[0]))),)

    def axes(self, axes: int) -> tuple[int, ...]:
        """Return the complete order."""
        for index, axis in enumerate(self.order):
            if axis >= axes:
                fail(f"axis {axis} of a bottom with {axes} axes", field="order")
            if axis in self.order[:index]:
                fail(f"`order` contains axis {axis} twice", code="E101", field="order")
        return (*self.order, *(axis for axis in range(axes) if axis not in self.order))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only moved."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A view of the bottom."""
        return bottoms[0].permute(self.axes(bottoms[0].dim()))
