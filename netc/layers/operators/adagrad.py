"""AdaGrad: Adagrad, SparseAdagrad, RowWiseSparseAdagrad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Count
from netc.ir.operator import Operator
from netc.layers._operators import operator
from netc.layers.operators._updates import SPARSE_ACCEPTS, SparseUpdate, Update, require_in_place

if TYPE_CHECKING:
    from torch import Tensor


@operator("Adagrad")
@dataclass(frozen=True)
class Adagrad(Update):
    """h' = decay h + g^2, and the parameter plus r g with r = lr / (sqrt(h') + epsilon): lr is negative.

    Shapes: parameter, h and g of the same size, lr of one element to the parameter, h', and on request r and r g.

    Reference: `adagrad_op.h`; `weight_decay`, which adds its multiple of the parameter to g, is of 2020.
    """

    epsilon: float = 1e-5
    decay: float = 1.0
    weight_decay: float = 0.0

    bottom_count: ClassVar[Count] = Count(4)
    top_count: ClassVar[Count] = Count(2, 4)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    alike: ClassVar[tuple[int, ...]] = (2, 0, 1)
    single: ClassVar[tuple[int, ...]] = (3,)
    shaped: ClassVar[tuple[int, ...]] = (0, 1, 2, 2)

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The parameter, h', r and r g."""
        parameter, history, gradient, rate = inputs
        gradient = decayed(gradient, parameter, self.weight_decay)
        history = self.decay * history + gradient * gradient
        scale = rate / (history.sqrt() + self.epsilon)
        change = scale * gradient
        return parameter + change, history, scale, change


@dataclass(frozen=True)
class _SparseAdagrad(SparseUpdate):
    epsilon: float = 1e-5
    weight_decay: float = 0.0

    bottom_count: ClassVar[Count] = Count(5)
    top_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 1))
    accepts: ClassVar[tuple[frozenset[DType], ...]] = SPARSE_ACCEPTS

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless parameter and history are updated in place."""
        require_in_place(operator, (0, 0), (1, 1))
        return super().from_caffe2(operator)

    def update(self, values: list[Tensor], rows: Tensor, positions: Tensor) -> None:
        """The parameter and h'."""
        parameter, history, _, gradients, rate = values
        gradient = decayed(gradients[positions], parameter[rows], self.weight_decay)
        new = history[rows] + self.squares(gradient)
        history[rows] = new
        parameter[rows] += rate.flatten() * gradient / (new.sqrt() + self.epsilon)

    def squares(self, gradient: Tensor) -> Tensor:
        """What is added to the history."""
        return gradient * gradient


@operator("SparseAdagrad")
@dataclass(frozen=True)
class SparseAdagrad(_SparseAdagrad):
    """Adagrad of the rows that `indices` lists, without decay.

    Shapes: parameter and h (rows), indices, g (a row for each index), lr of one element to the parameter and h'.

    Reference: `adagrad_op.h`, SparseAdagradOp.
    """


@operator("RowWiseSparseAdagrad")
@dataclass(frozen=True)
class RowWiseSparseAdagrad(_SparseAdagrad):
    """SparseAdagrad with one number of history for each row: the mean of the squares of g's row is added.

    Shapes: parameter (rows), h (as many elements as rows), indices, g (a row for each index), lr of one element to the
    parameter and h'.

    Reference: `adagrad_op.h`, RowWiseSparseAdagradOp.
    """

    states: ClassVar[tuple[int, ...]] = ()
    row_states: ClassVar[tuple[int, ...]] = (1,)

    def squares(self, gradient: Tensor) -> Tensor:
        """The mean of each row."""
        return (gradient * gradient).sum(1, keepdim=True) / gradient.shape[1]


def decayed(gradient: Tensor, parameter: Tensor, weight_decay: float) -> Tensor:
    """The gradient plus a multiple of the parameter."""
    return gradient + weight_decay * parameter if weight_decay else gradient
