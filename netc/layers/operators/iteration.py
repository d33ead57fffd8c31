"""Counters of iterations: Iter, AtomicIter, and CreateMutex, whose mutex AtomicIter locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._updates import ITERATION, check_single, require_in_place

if TYPE_CHECKING:
    from torch import Tensor

MUTEX: frozenset[DType] = frozenset(("mutex",))


@operator("CreateMutex")
@dataclass(frozen=True)
class CreateMutex(OperatorLayer):
    """A mutex. Operators of a net run one after the other here, so that it locks nothing: a blob without elements.

    Shapes: (0).

    Reference: `atomic_ops.cc`.
    """

    bottom_count: ClassVar[Count] = Count(0)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """No elements."""
        return ((0,),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type of mutexes."""
        return ("mutex",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A tensor without elements."""
        import torch

        return torch.empty(0, dtype=torch.bool)


@operator("Iter")
@dataclass(frozen=True)
class Iter(OperatorLayer):
    """The number of the iteration, incremented.

    Shapes: an int64 number of one element to the number.

    Reference: `iter_op.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ITERATION,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless the number is incremented in place."""
        require_in_place(operator, *cls.in_place_pairs)
        return cls()

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a number that is not one element."""
        check_single(self.type, bottoms, (len(bottoms) - 1,))
        return bottoms[-1:]

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """int64."""
        self.check_dtypes(bottoms)
        return ("int64",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a negative number."""
        number = bottoms[-1]
        mode.check_range(number, 0, 2**63 - 1, "iteration number")
        return number + 1


@operator("AtomicIter")
@dataclass(frozen=True)
class AtomicIter(Iter):
    """The number of the iteration, incremented under a mutex.

    Shapes: a mutex, an int64 number of one element to the number.

    Reference: `iter_op.h`.
    """

    type = "AtomicIter"
    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (MUTEX, ITERATION)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((1, 0),)
