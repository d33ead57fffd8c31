"""Updates scaled by running means of squared gradients: RmsProp, Adadelta, SparseAdadelta."""

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


@operator("RmsProp")
@dataclass(frozen=True)
class RmsProp(Update):
    """s' = s + (1 - decay) (g^2 - s), m' = momentum m + lr g / sqrt(epsilon + s'); the new gradient is m'.

    Shapes: g, s and m of the same size, lr of one element to the new gradient, s', m'.

    Reference: `rmsprop_op.cc`.
    """

    decay: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-5

    bottom_count: ClassVar[Count] = Count(4)
    top_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (2, 2))
    alike: ClassVar[tuple[int, ...]] = (0, 1, 2)
    single: ClassVar[tuple[int, ...]] = (3,)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The new gradient, s', m'."""
        gradient, squares, momentum, rate = inputs
        squares = squares + (1 - self.decay) * (gradient * gradient - squares)
        momentum = self.momentum * momentum + rate * gradient / (self.epsilon + squares).sqrt()
        return momentum, squares, momentum


@operator("Adadelta")
@dataclass(frozen=True)
class Adadelta(Update):
    """h' = decay h + (1 - decay) g^2, u = sqrt(d + epsilon) / sqrt(h' + epsilon) g, d' = decay d + (1 - decay) u^2.

    The parameter becomes itself plus lr u: lr is negative.

    Shapes: parameter, h, d and g of the same size, lr of one element to the parameter, h', d'.

    Reference: `adadelta_op.h`.
    """

    epsilon: float = 1e-5
    decay: float = 0.95

    bottom_count: ClassVar[Count] = Count(5)
    top_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (2, 2))
    alike: ClassVar[tuple[int, ...]] = (3, 0, 1, 2)
    single: ClassVar[tuple[int, ...]] = (4,)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a decay that is not between 0 and 1, and for a negative epsilon."""
        _check(operator)
        return super().from_caffe2(operator)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The parameter, h', d'."""
        parameter, history, deltas, gradient, rate = inputs
        return adadelta(parameter, history, deltas, gradient, rate, decay=self.decay, epsilon=self.epsilon)


@operator("SparseAdadelta")
@dataclass(frozen=True)
class SparseAdadelta(SparseUpdate):
    """Adadelta of the rows that `indices` lists.

    Shapes: parameter, h and d (rows), indices, g (a row for each index), lr of one element to the parameter, h', d'.

    Reference: `adadelta_op.h`, SparseAdadeltaOp.
    """

    epsilon: float = 1e-5
    decay: float = 0.95

    bottom_count: ClassVar[Count] = Count(6)
    top_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1), (2, 2))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, FLOAT, INTEGERS, FLOAT, FLOAT)
    indices_at: ClassVar[int] = 3
    gradient: ClassVar[int] = 4
    single: ClassVar[tuple[int, ...]] = (5,)
    states: ClassVar[tuple[int, ...]] = (1, 2)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless the first three inputs are updated in place, E103 as Adadelta does."""
        require_in_place(operator, (0, 0), (1, 1), (2, 2))
        _check(operator)
        return super().from_caffe2(operator)

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """The parameter, h', d'."""
        parameter, history, deltas, _, gradients, rate = values
        parameter[rows], history[rows], deltas[rows] = adadelta(
            parameter[rows],
            history[rows],
            deltas[rows],
            gradients[positions],
            rate.flatten(),
            decay=self.decay,
            epsilon=self.epsilon,
        )


def adadelta(
    parameter: Tensor, history: Tensor, deltas: Tensor, gradient: Tensor, rate: Tensor, *, decay: float, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The parameter, h', d'."""
    history = decay * history + (1 - decay) * gradient * gradient
    change = (deltas + epsilon).sqrt() / (history + epsilon).sqrt() * gradient
    return parameter + rate * change, history, decay * deltas + (1 - decay) * change * change


def _check(operator: Operator) -> None:
    decay, epsilon = operator.real("decay", 0.95), operator.real("epsilon", 1e-5)
    if not 0 < decay < 1:
        operator.fail(f"`decay: {decay:g}` is not between 0 and 1", "decay")
    if epsilon < 0:
        operator.fail(f"`epsilon: {epsilon:g}` is negative", "epsilon")
