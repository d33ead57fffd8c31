"""SpatialProduct: every channel times the same plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, text
from netc.ir.layer import Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("SpatialProduct", dialect="pspnet")
@dataclass(frozen=True)
class SpatialProduct(Layer):
    """Multiplies every channel of the first bottom by the only channel of the second.

    Shapes: (n, c, h, w) and (n, 1, h, w) to (n, c, h, w).

    >>> SpatialProduct().infer(((2, 21, 41, 41), (2, 1, 41, 41)), 1)
    ((2, 21, 41, 41),)

    Reference: `spatial_product_layer.cpp` of DeepLab.
    """

    bottom_count: ClassVar[Count] = Count(2)
    sees: ClassVar[Sees] = "place"
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the second bottom has one channel and the other extents of the first."""
        first, second = bottoms
        if len(first) != 4 or differ(second, (first[0], 1, *first[2:])):
            fail(f"expected (n, c, h, w) and (n, 1, h, w), got {text(first)} and {text(second)}", field="bottom")
        return (first,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        self.infer((tuple(bottoms[0].shape), tuple(bottoms[1].shape)), 1)
        return bottoms[0] * bottoms[1]
