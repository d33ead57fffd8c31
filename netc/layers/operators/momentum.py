"""Stochastic gradient descent with momentum: MomentumSGD, MomentumSGDUpdate, SparseMomentumSGDUpdate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Count
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, INTEGERS
from netc.layers._operators import operator
from netc.layers.operators._updates import SparseUpdate, Update, require_in_place

if TYPE_CHECKING:
    from torch import Tensor


@operator("MomentumSGD")
@dataclass(frozen=True)
class MomentumSGD(Update):
    """The gradient with momentum: m' = momentum m + lr g, g' = m'; `nesterov`: g' = (1 + momentum) m' - momentum m.

    The learning rate is inside the momentum, as in Caffe, not applied to it, as in torch.

    Shapes: g and m of the same size, lr of one element to g', m'.

    Reference: `momentum_sgd_op.h`.
    """

    momentum: float = 0.0
    nesterov: bool = False

    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    alike: ClassVar[tuple[int, ...]] = (0, 1)
    single: ClassVar[tuple[int, ...]] = (2,)
    shaped: ClassVar[tuple[int, ...]] = (0, 1)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """g', m'."""
        return with_momentum(*inputs[:3], momentum=self.momentum, nesterov=self.nesterov)


@operator("MomentumSGDUpdate")
@dataclass(frozen=True)
class MomentumSGDUpdate(MomentumSGD):
    """MomentumSGD, and the parameter minus g'.

    Shapes: g, m and parameter of the same size, lr of one element to g', m' and the parameter.

    Reference: `momentum_sgd_op.h`.
    """

    type = "MomentumSGDUpdate"
    bottom_count: ClassVar[Count] = Count(4)
    top_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (3, 2))
    alike: ClassVar[tuple[int, ...]] = (0, 1, 3)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 3)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless the parameter is updated in place."""
        require_in_place(operator, (3, 2))
        return super().from_caffe2(operator)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """g', m' and the parameter."""
        gradient, momentum = super().update(*inputs)
        return gradient, momentum, inputs[3] - gradient


@operator("SparseMomentumSGDUpdate")
@dataclass(frozen=True)
class SparseMomentumSGDUpdate(SparseUpdate):
    """MomentumSGDUpdate of the rows that `indices` lists.

    Shapes: g (a row for each index), m and the parameter (rows), lr of one element, indices to g', m', the parameter.

    Reference: `momentum_sgd_op.h`, SparseMomentumSGDUpdateOp.
    """

    momentum: float = 0.0
    nesterov: bool = False

    bottom_count: ClassVar[Count] = Count(5)
    top_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (3, 2))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, FLOAT, FLOAT, INTEGERS)
    parameter: ClassVar[int] = 3
    indices_at: ClassVar[int] = 4
    gradient: ClassVar[int] = 0
    single: ClassVar[tuple[int, ...]] = (2,)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 3)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless momentum and parameter are updated in place."""
        require_in_place(operator, (1, 1), (3, 2))
        return super().from_caffe2(operator)

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """g', m' and the parameter."""
        gradient, momentum, rate, parameter = values[:4]
        new, kept = with_momentum(
            gradient[positions], momentum[rows], rate.flatten(), momentum=self.momentum, nesterov=self.nesterov
        )
        gradient[positions] = new
        momentum[rows] = kept
        parameter[rows] -= new


def with_momentum(
    gradient: Tensor, old: Tensor, rate: Tensor, *, momentum: float, nesterov: bool
) -> tuple[Tensor, Tensor]:
    """The gradient with momentum, and the new momentum."""
    new = momentum * old + rate * gradient
    if not nesterov:
        return new, new
    return (1 + momentum) * new - momentum * old, new
