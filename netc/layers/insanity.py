"""Insanity: randomized leaky ReLU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Insanity", dialect="happynear", field="insanity_param")
@dataclass(frozen=True)
class Insanity(Layer):
    """x where x is positive; elsewhere x divided by a number that is random in training, from `lb` to `ub`.

    In tests it is (ub - lb) / (ln |ub| - ln |lb|), for bounds of one sign the reciprocal of the mean of the factor.

    Shapes: (n, c, ...), kept.

    >>> Insanity().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `insanity_layer.cpp` of happynear's Caffe; Xu et al., Empirical Evaluation of Rectified Activations in
    Convolutional Network, 2015.
    """

    lb: float = 5.0
    """The smallest divisor."""
    ub: float = 10.0
    """The greatest divisor."""

    role: ClassVar[Role] = "inner"
    in_place: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless lb < ub, and neither is 0."""
        result = super().from_caffe(layer)
        if not result.lb < result.ub or not result.lb * result.ub:
            fail(
                f"`lb` is {result.lb:g} and `ub` {result.ub:g}: expected lb < ub, and neither 0",
                code="E103",
                field="lb",
            )
        return result

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless negative bounds reverse the sign."""
        return self.lb > 0

    def reads_top(self, in_place: bool) -> TopRead:
        """Whether x was positive, if y overwrote x and has its sign; otherwise x is kept."""
        return "sign" if in_place and self.lb > 0 else ""

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without a channel axis."""
        if len(bottoms[0]) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(bottoms[0])}", field="bottom")
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison and one multiplication per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One random number per element."""
        import torch
        import torch.nn.functional as F

        x = bottoms[0]
        if not mode.training:
            return F.leaky_relu(x, math.log(abs(self.ub / self.lb)) / (self.ub - self.lb))
        divisor = torch.empty_like(x).uniform_(self.lb, self.ub)
        return x.where(x > 0, x / divisor)
