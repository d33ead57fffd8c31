"""Follow the regularized leader, and WNGrad: Ftrl, SparseFtrl, Wngrad, SparseWngrad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.dtypes import DType
from netc.ir.layer import Count, Mode, Shapes
from netc.ir.operator import Operator
from netc.layers._operators import operator
from netc.layers.operators._updates import (
    SPARSE_ACCEPTS,
    SparseUpdate,
    Update,
    check_single,
    check_size,
    require_in_place,
    without_gradient,
)

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
        parameter, both, gradient = inputs[:3]
        return self.updated(parameter, both.reshape(-1, 2), gradient, inputs[3] if len(inputs) > 3 else None)

    def updated(self, parameter: Tensor, both: Tensor, gradient: Tensor, alpha: Tensor | None) -> tuple[Tensor, Tensor]:
        """w', and n' with z', which are along the last axis of `both`."""
        import torch

        inverse = 1 / self.alpha if alpha is None else 1 / alpha
        old, z = both.unbind(-1)
        new = old + gradient * gradient
        z = z + gradient - (new.sqrt() - old.sqrt()) * inverse * parameter
        weight = (self.lambda1 * z.sign() - z) / ((self.beta + new.sqrt()) * inverse + self.lambda2)
        weight = torch.where(z.abs() > self.lambda1, weight, torch.zeros_like(weight))
        return weight, torch.stack((new, z), -1)


@operator("SparseFtrl")
@dataclass(frozen=True)
class SparseFtrl(SparseUpdate):
    """Ftrl of the rows that `indices` lists.

    Shapes: w (rows), n and z together of twice its size, indices, g (a row for each index), alpha of one element to w'
    and n' with z'.

    Reference: `ftrl_op.cc`, SparseFtrlOp.
    """

    alpha: float = 0.005
    beta: float = 1.0
    lambda1: float = 0.001
    lambda2: float = 0.001

    bottom_count: ClassVar[Count] = Count(4, 5)
    top_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = SPARSE_ACCEPTS
    width: ClassVar[int] = 2

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless w, n and z are updated in place, E101 if `alpha` is an argument and an input."""
        require_in_place(operator, (0, 0), (1, 1))
        if "alpha" in operator and len(operator.inputs) > 4:
            operator.fail("`alpha` is an argument and the fifth input", "alpha", code="E101")
        return super().from_caffe2(operator)

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """w', and n' with z'."""
        parameter, both, _, gradients = values[:4]
        alpha = values[4].flatten() if len(values) > 4 else None
        pairs = both[rows].reshape(*parameter[rows].shape, 2)
        rule = Ftrl(self.alpha, self.beta, self.lambda1, self.lambda2)
        weight, pairs = rule.updated(parameter[rows], pairs, gradients[positions], alpha)
        parameter[rows], both[rows] = weight, pairs.flatten(1)


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


@operator("SparseWngrad")
@dataclass(frozen=True)
class SparseWngrad(SparseUpdate):
    """The rows that `indices` lists plus r g with r = lr / (b + epsilon); b' = b + sum(g^2) / b, without epsilon.

    Shapes: parameter (rows), b of one element, indices, g (a row for each index), lr of one element to the parameter,
    b'.

    Reference: `wngrad_op.h`, SparseWngradOp.
    """

    epsilon: float = 1e-5

    bottom_count: ClassVar[Count] = Count(5)
    top_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = SPARSE_ACCEPTS
    single: ClassVar[tuple[int, ...]] = (1, 4)
    states: ClassVar[tuple[int, ...]] = ()

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless parameter and b are updated in place."""
        require_in_place(operator, (0, 0), (1, 1))
        return super().from_caffe2(operator)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Without indices nothing changes. Raises NetcError E301 for an index that is not a row of the parameter."""
        parameter, total = super().forward(bottoms, weights, mode)
        if not bottoms[2].numel():
            return parameter, total
        return parameter, total + without_gradient(bottoms[3]).square().sum() / total

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """The parameter."""
        parameter, total, _, gradients, rate = values
        parameter[rows] += rate.flatten() * gradients[positions] / (total.flatten() + self.epsilon)
