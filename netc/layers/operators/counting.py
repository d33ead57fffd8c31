"""Sequences of numbers and counters: Range, LengthsRangeFill, Iter, AtomicIter, CreateMutex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import ANY, NUMBERS, OperatorLayer, check_axes, common_dtype, require_in_place
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_INT64: frozenset[DType] = frozenset(("int64",))


@operator("Range")
@dataclass(frozen=True)
class Range(OperatorLayer):
    """The numbers from `start` (0) to `stop`, exclusive, in steps of `step` (1), as the inputs say: stop; start, stop;
    or start, stop, step.

    Integers with a negative step that does not divide the distance end one step early, as in Caffe2.

    Shapes: one element each to (n).

    Reference: `utility_ops.h`.
    """

    bottom_count: ClassVar[Count] = Count(1, 3)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS,)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an input with another number of elements than 1."""
        for index, shape in enumerate(bottoms):
            if differ(product(shape), 1):
                fail(f"input {index} of `Range` has shape {text(shape)}, expected one element", field="input")
        return ((UNKNOWN,),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Raises NetcError E107 for inputs of different types."""
        self.check_dtypes(bottoms)
        return (common_dtype("Range", bottoms),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a step of 0."""
        import math

        import torch

        numbers = [bottom.reshape(()) for bottom in bottoms]
        stop = numbers[0] if len(numbers) == 1 else numbers[1]
        start = torch.zeros_like(stop) if len(numbers) == 1 else numbers[0]
        step = numbers[2] if len(numbers) == 3 else torch.ones_like(stop)
        if step == 0:
            fail("a step of 0", code="E301", field="input")
        if stop.is_floating_point():
            length = math.ceil(((stop - start) / step).item())
        else:
            distance, size = int(stop - start), int(step)
            length = int(torch.div(stop - start, step, rounding_mode="trunc"))
            length += length * size < distance
        return torch.arange(max(length, 0), device=stop.device).to(stop.dtype) * step + start


@operator("LengthsRangeFill")
@dataclass(frozen=True)
class LengthsRangeFill(OperatorLayer):
    """The numbers from 0 to each length, exclusive, one length after the other.

    Shapes: (n) to (sum of the lengths).

    Reference: `filler_op.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (frozenset(("int32",)),)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input is a vector."""
        check_axes("LengthsRangeFill", bottoms[0], 1)
        return ((UNKNOWN,),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """int32."""
        self.check_dtypes(bottoms)
        return ("int32",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a negative length."""
        import torch

        lengths = bottoms[0]
        if bool((lengths < 0).any()):
            fail(f"a length of {int(lengths.min())} is negative", code="E301", field="input")
        ends = lengths.cumsum(0)
        starts = (ends - lengths).repeat_interleave(lengths)
        return (torch.arange(len(starts), device=lengths.device) - starts).int()


@operator("Iter", "AtomicIter")
@dataclass(frozen=True)
class Iter(OperatorLayer):
    """The number of iterations, incremented in its own blob; AtomicIter has a mutex as its first input.

    Shapes: (optionally the mutex,) one element, kept.

    Reference: `iter_op.h`.
    """

    atomic: bool = False
    """Whether there is a mutex."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 unless the output is the blob of the iteration."""
        atomic = operator.type == "AtomicIter"
        require_in_place(operator, int(atomic))
        return cls(atomic)

    @property
    def bottom_count(self) -> Count:  # type: ignore[override]
        """The iteration, and the mutex."""
        return Count(2) if self.atomic else Count(1)

    @property
    def in_place_pairs(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        """The iteration is updated."""
        return ((int(self.atomic), 0),)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the iteration is one number."""
        if differ(product(bottoms[-1]), 1):
            fail(f"the iteration has shape {text(bottoms[-1])}, expected one element", field="input")
        return bottoms[-1:]

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Raises NetcError E107 unless the iteration is of type int64."""
        if bottoms[-1] not in ("int64", "unknown"):
            fail(f"the iteration has type {bottoms[-1]}, expected int64", code="E107")
        return ("int64",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for a negative iteration."""
        mode.check_range(bottoms[-1], 0, 2**63 - 1, "iteration")
        return bottoms[-1] + 1


@operator("CreateMutex")
@dataclass(frozen=True)
class CreateMutex(OperatorLayer):
    """A mutex, which a net that runs one operator after the other does not need: a blob without elements.

    Shapes: to (0).

    Reference: `iter_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(0)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape]:
        """No elements."""
        return ((0,),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Boolean."""
        return ("bool",)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return torch.zeros(0, dtype=torch.bool)
