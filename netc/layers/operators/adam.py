"""Adam: Adam, SparseAdam, RowWiseSparseAdam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Count
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, INTEGERS
from netc.layers._operators import operator
from netc.layers.operators._updates import ITERATION, SparseUpdate, Update, require_in_place

if TYPE_CHECKING:
    from torch import Tensor


@operator("Adam")
@dataclass(frozen=True)
class AdamUpdate(Update):
    """m' = beta1 m + (1 - beta1) g, v' = beta2 v + (1 - beta2) g^2, and the parameter plus lr u: lr is negative.

    u = c m' / (sqrt(v') + epsilon) with c = sqrt(1 - beta2^t) / (1 - beta1^t) and t = iteration + 1. Nets increment
    their counter before, so that t is 2 in the first step.

    Shapes: parameter, m, v and g of the same size, lr and iteration of one element to the parameter, m', v', and on
    request u.

    Reference: `adam_op.h`.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-5

    bottom_count: ClassVar[Count] = Count(6)
    top_count: ClassVar[Count] = Count(3, 4)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (2, 2))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, ITERATION)
    alike: ClassVar[tuple[int, ...]] = (3, 0, 1, 2)
    single: ClassVar[tuple[int, ...]] = (4, 5)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E106 for rectified Adam."""
        _refuse_rectified(operator)
        return super().from_caffe2(operator)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The parameter, m', v' and u."""
        parameter, first, second, gradient, rate, iteration = inputs
        first = first * self.beta1 + gradient * (1 - self.beta1)
        second = second * self.beta2 + gradient * gradient * (1 - self.beta2)
        change = correction(self.beta1, self.beta2, iteration) * first / (second.sqrt() + self.epsilon)
        return parameter + rate * change, first, second, change


@dataclass(frozen=True)
class _SparseAdam(SparseUpdate):
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-5

    bottom_count: ClassVar[Count] = Count(7)
    top_count: ClassVar[Count] = Count(3, 4)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (2, 2))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, FLOAT, INTEGERS, FLOAT, FLOAT, ITERATION)
    indices_at: ClassVar[int] = 3
    gradient: ClassVar[int] = 4
    single: ClassVar[tuple[int, ...]] = (5, 6)
    states: ClassVar[tuple[int, ...]] = (1, 2)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 2, 4)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless the first three inputs are updated in place, E106 for rectified Adam."""
        require_in_place(operator, (0, 0), (1, 1), (2, 2))
        _refuse_rectified(operator)
        return super().from_caffe2(operator)

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """The parameter, m', v' and u in place of the gradient."""
        parameter, firsts, seconds, _, gradients, rate, iteration = values
        gradient = gradients[positions]
        first = firsts[rows] * self.beta1 + gradient * (1 - self.beta1)
        second = seconds[rows] * self.beta2 + self.squares(gradient) * (1 - self.beta2)
        change = correction(self.beta1, self.beta2, iteration) * first / (second.sqrt() + self.epsilon)
        firsts[rows], seconds[rows], gradients[positions] = first, second, change
        parameter[rows] += rate.flatten() * change

    def squares(self, gradient: Tensor) -> Tensor:
        """What the second moment averages."""
        return gradient * gradient


@operator("SparseAdam")
@dataclass(frozen=True)
class SparseAdam(_SparseAdam):
    """Adam of the rows that `indices` lists.

    Shapes: parameter, m and v (rows), indices, g (a row for each index), lr and iteration of one element to the
    parameter, m', v', and on request u in the shape of g.

    Reference: `adam_op.h`, SparseAdamOp.
    """


@operator("RowWiseSparseAdam")
@dataclass(frozen=True)
class RowWiseSparseAdam(_SparseAdam):
    """SparseAdam with one second moment for each row, of the mean of the squares of g's row.

    Shapes: as SparseAdam, but v has as many elements as the parameter has rows.

    Reference: `adam_op.h`, RowWiseSparseAdamOp.
    """

    states: ClassVar[tuple[int, ...]] = (1,)
    row_states: ClassVar[tuple[int, ...]] = (2,)

    def squares(self, gradient: Tensor) -> Tensor:
        """The mean of each row."""
        return (gradient * gradient).sum(1, keepdim=True) / gradient.shape[1]


def correction(beta1: float, beta2: float, iteration: Tensor) -> float:
    """The factor that makes both moments unbiased."""
    steps = int(iteration.flatten()[0]) + 1
    return math.sqrt(1 - beta2**steps) / (1 - beta1**steps)


def _refuse_rectified(operator: Operator) -> None:
    if operator.flag("enableRAdam"):
        operator.fail("rectified Adam is not supported", "enableRAdam", code="E106")
