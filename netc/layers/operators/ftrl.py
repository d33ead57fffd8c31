"""Follow the regularized leader, and WNGrad: Ftrl, Wngrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.layer import Count, Shapes
from netc.ir.operator import Operator
from netc.layers._operators import operator
from netc.layers.operators._updates import Update, check_single, check_size

if TYPE_CHECKING:
    from torch import Tensor


@operator("Ftrl")
@dataclass(frozen=True)
class Ftrl(Update):
    """n' = n + g^2, z' = z + g - (sqrt(n') - sqrt(n)) / alpha w, and the parameter w' from z' and n'.

    w' is 0 where |z'| <= lambda1, else (lambda1 sign(z') - z') / ((beta + sqrt(n')) / alpha + lambda2). n and z are
    interleaved: the second input has both for each element of w. A fourth input replaces `alpha`.

    Shapes: w and g of the same size, n and z together of twice that, alpha of one element to w' and n' with z'.

    Reference: `ftrl_op.cc`.
    """

    alpha: float = 0.005
    beta: float = 1.0
    lambda1: float = 0.001
    lambda2: float = 0.001

    bottom_count: ClassVar[Count] = Count(3, 4)
    top_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    alike: ClassVar[tuple[int, ...]] = (2, 0)
    shaped: ClassVar[tuple[int, ...]] = (0, 1)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 if `alpha` is an argument and an input."""
        if "alpha" in operator and len(operator.inputs) > 3:
            operator.fail("`alpha` is an argument and the fourth input", "alpha", code="E101")
        return super().from_caffe2(operator)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of different sizes."""
        check_size(self.type, bottoms, 1, 2 * product(bottoms[2]), "two for each element of input 2, ")
        check_single(self.type, bottoms, range(3, len(bottoms)))
        return super().infer(bottoms, tops)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """w', and n' with z'."""
        import torch

        parameter, both, gradient = inputs[:3]
        inverse = 1 / inputs[3] if len(inputs) > 3 else 1 / self.alpha
        old, z = both.reshape(-1, 2).unbind(1)
        new = old + gradient * gradient
        z = z + gradient - (new.sqrt() - old.sqrt()) * inverse * parameter
        weight = (self.lambda1 * z.sign() - z) / ((self.beta + new.sqrt()) * inverse + self.lambda2)
        weight = torch.where(z.abs() > self.lambda1, weight, torch.zeros_like(weight))
        return weight, torch.stack((new, z), 1)


@operator("Wngrad")
@dataclass(frozen=True)
class Wngrad(Update):
    """The parameter plus r g with r = lr / (b + epsilon), lr negative; b' = b + sum(g^2) / (b + epsilon).

    Shapes: parameter and g of the same size, b and lr of one element to the parameter, b', and on request r in the
    shape of b, and r g.

    Reference: `wngrad_op.h`.
    """

    epsilon: float = 1e-5

    bottom_count: ClassVar[Count] = Count(4)
    top_count: ClassVar[Count] = Count(2, 4)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    alike: ClassVar[tuple[int, ...]] = (2, 0)
    single: ClassVar[tuple[int, ...]] = (1, 3)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 1, 2)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The parameter, b', r and r g."""
        parameter, total, gradient, rate = inputs
        scale = rate / (total + self.epsilon)
        change = scale * gradient
        return parameter + change, total + (gradient * gradient).sum() / (total + self.epsilon), scale, change
