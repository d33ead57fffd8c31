"""EltwiseProduct of early Caffe and C3D: what Eltwise with PROD computes today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes
from netc.ir.traits import Sees, TopRead
from netc.layers._axes import agreed
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("EltwiseProduct", dialect="c3d", v1="ELTWISE_PRODUCT")
@dataclass(frozen=True)
class EltwiseProduct(Layer):
    """The product of the bottoms, element by element.

    Shapes: any, the same for all bottoms, kept.

    >>> EltwiseProduct().infer(((2, 3, 4), (2, 3, 4)), 1)
    ((2, 3, 4),)

    Reference: `eltwise_product_layer.cpp` of Caffe of 2013.
    """

    bottom_count: ClassVar[Count] = Count(2, None)
    sees: ClassVar[Sees] = "place"
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms have different shapes."""
        return (agreed(bottoms),)

    def reads_top(self, in_place: bool) -> TopRead:
        """The product, which is divided by each bottom."""
        return "values"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication per element and further bottom."""
        return Cost(operations=product(tops[0]) * (len(bottoms) - 1))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return reduce(mul, bottoms)
