"""ExpMax: the exponential of each element less the largest of its position."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("ExpMax", dialect="liteflownet", field="expmax_param")
@dataclass(frozen=True)
class ExpMax(Layer):
    """base^(scale (x - m) + shift), where m is the maximum over the channels: a softmax without its sum.

    The maximum counts as a constant for the gradient, as in LiteFlowNet, whose kernel supports one image only.

    Shapes: (n, c, ...), kept.

    >>> ExpMax().infer(((1, 9, 48, 64),), 1)
    ((1, 9, 48, 64),)

    Reference: `expmax_layer.cu` of LiteFlowNet (twhui/LiteFlowNet).
    """

    base: float = -1.0
    """The base; -1 is e."""
    scale: float = 1.0
    """Factor of the exponent."""
    shift: float = 0.0
    """Added to the exponent."""

    sees: ClassVar[Sees] = "place"
    rearranges: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a base that is neither -1 nor positive."""
        result = super().from_caffe(layer)
        if result.base != -1 and not 0 < result.base < math.inf:
            fail(f"`base` is {result.base:g}: it must be positive, or -1 for e", code="E103", field="base")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without channels."""
        if len(bottoms[0]) < 2:
            fail(f"`ExpMax` expects a bottom with at least 2 axes, got {len(bottoms[0])}", field="bottom")
        return bottoms

    def reads_top(self, in_place: bool) -> TopRead:
        """The exponential, by which the gradient is multiplied."""
        return "values"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, multiplication and exponential per element."""
        return Cost(operations=4 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        log_base = 1.0 if self.base == -1 else math.log(self.base)
        exponent = (x - x.detach().amax(1, keepdim=True)) * (log_base * self.scale)
        return (exponent + log_base * self.shift).exp()
