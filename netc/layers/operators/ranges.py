"""Sequences of numbers: Range, LengthsRangeFill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.layers._operator_layer import NUMBERS, OperatorLayer, check_axes, common_dtype
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


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
