"""GRN: each place is divided by its norm across channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product, text
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("GRN", dialect="openvino", field="grn_param")
@dataclass(frozen=True)
class GRN(Layer):
    """x / sqrt(bias + the sum of x^2 across channels), at each place.

    Shapes: (n, c, ...), kept.

    >>> GRN().infer(((2, 8, 4, 5),), 1)
    ((2, 8, 4, 5),)

    Reference: `grn_layer.cpp` of OpenVINO's training toolbox.
    """

    bias: float = 0.0
    """Added to the sum of squares."""

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without a channel axis."""
        if len(bottoms[0]) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(bottoms[0])}", field="bottom")
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One square, addition and division per element."""
        return Cost(operations=3 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        return x / (x.square().sum(1, keepdim=True) + self.bias).sqrt()
