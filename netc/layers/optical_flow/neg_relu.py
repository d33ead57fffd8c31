"""NegReLU and NegSquare: activations that are never positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Layer, Mode, Shapes
from netc.ir.traits import Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("NegReLU", dialect="flownet2", field="relu_param")
@dataclass(frozen=True)
class NegReLU(Layer):
    """x where x is negative, `negative_slope` times x elsewhere; at 0 the gradient is that of the positive side.

    Shapes: any, kept.

    >>> NegReLU().infer(((2, 3, 4),), 1)
    ((2, 3, 4),)

    Reference: `neg_relu_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    negative_slope: float = 0.0
    """Slope above 0."""

    sees: ClassVar[Sees] = "place"
    overwritable: ClassVar[bool] = True

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless the slope is negative."""
        return self.negative_slope >= 0

    @property
    def in_place(self) -> bool:  # type: ignore[override]
        """The backward pass reads the sign of x from y, which a negative slope reverses."""
        return self.negative_slope >= 0

    def reads_top(self, in_place: bool) -> TopRead:
        """The sign, if y overwrote x."""
        return "sign" if in_place else ""

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element, and one multiplication if there is a slope."""
        return Cost(operations=product(tops[0]) * (2 if self.negative_slope else 1))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A rectifier of -x, negated."""
        import torch.nn.functional as F

        return -F.leaky_relu(-bottoms[0], self.negative_slope)


@register("NegSquare", dialect="liteflownet")
@dataclass(frozen=True)
class NegSquare(Layer):
    """The square of x, negated.

    LiteFlowNet's backward pass reads the bottom's gradient buffer instead of x; the gradient here is -2 x.

    Shapes: any, kept.

    >>> NegSquare().infer(((2, 3, 4),), 1)
    ((2, 3, 4),)

    Reference: `negsquare_layer.cu` of LiteFlowNet (twhui/LiteFlowNet).
    """

    sees: ClassVar[Sees] = "place"
    overwritable: ClassVar[bool] = True

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one negation per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return -bottoms[0].square()
