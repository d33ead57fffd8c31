"""Updates scaled by running means of squared gradients: RmsProp, Adadelta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.layer import Count
from netc.ir.operator import Operator
from netc.layers._operators import operator
from netc.layers.operators._updates import Update

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
        found = super().from_caffe2(operator)
        if not 0 < found.decay < 1:
            operator.fail(f"`decay: {found.decay:g}` is not between 0 and 1", "decay")
        if found.epsilon < 0:
            operator.fail(f"`epsilon: {found.epsilon:g}` is negative", "epsilon")
        return found

    def update(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The parameter, h', d'."""
        parameter, history, deltas, gradient, rate = inputs
        history = self.decay * history + (1 - self.decay) * gradient * gradient
        change = (deltas + self.epsilon).sqrt() / (history + self.epsilon).sqrt() * gradient
        return parameter + rate * change, history, self.decay * deltas + (1 - self.decay) * change * change
