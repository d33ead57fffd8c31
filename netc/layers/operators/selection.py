"""The largest and smallest elements along an axis: ArgMax, ArgMin, TopK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import NUMBERS, OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


def _axis_of(axis: int, shape: tuple[int, ...]) -> int:
    """The axis from 0; -1 is the last one, other negative ones do not exist. Raises NetcError E103."""
    if not -1 <= axis < len(shape) or not shape:
        fail(f"`axis: {axis}` is out of range for an input of shape {text(shape)}", code="E103", field="axis")
    return axis % len(shape)


@operator("ArgMax", "ArgMin")
@dataclass(frozen=True)
class ArgExtreme(OperatorLayer):
    """The position of the first maximum along an axis; ArgMin: of the first minimum.

    Shapes: (..., n, ...) to (..., 1, ...), without the axis if not `keepdims`.

    Reference: `arg_ops.h`.
    """

    axis: int = -1
    """The axis; -1 is the last one."""
    keepdims: bool = True
    """Whether the axis remains, with extent 1."""
    largest: bool = True
    """Whether maxima are looked for."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS,)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the arguments, and the direction from the type."""
        return cls(operator.integer("axis", -1), operator.flag("keepdims", True), operator.type == "ArgMax")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range, E102 for one without elements."""
        x = bottoms[0]
        axis = _axis_of(self.axis, x)
        if x[axis] == 0:
            fail(f"axis {axis} of {text(x)} has no elements", field="input")
        return ((*x[:axis], *(1,) * self.keepdims, *x[axis + 1 :]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """int64."""
        self.check_dtypes(bottoms)
        return ("int64",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        find = bottoms[0].argmax if self.largest else bottoms[0].argmin
        return find(self.axis, self.keepdims)


@operator("TopK")
@dataclass(frozen=True)
class TopK(OperatorLayer):
    """The `k` largest elements along an axis, descending, and their positions; of equal ones the first comes first.

    If there are fewer than `k`, the values end with 0 and the positions with -1. The optional third output holds the
    positions in the whole input, row by row.

    Shapes: (..., n, ...) to (..., k, ...), (..., k, ...) and optionally (number of elements of the outputs).

    Reference: `top_k.cc`.
    """

    k: int = 1
    """The number of elements."""
    axis: int = -1
    """The axis; -1 is the last one."""

    top_count: ClassVar[Count] = Count(2, 3)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless `k` is positive."""
        k = operator.integer("k", -1)
        if k < 1:
            operator.fail(f"`k: {k}` is not positive", "k")
        return cls(k, operator.integer("axis", -1))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        x = bottoms[0]
        axis = _axis_of(self.axis, x)
        shape = (*x[:axis], self.k, *x[axis + 1 :])
        return shape, shape, (product(shape),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the input for the values, int64 for positions."""
        self.check_dtypes(bottoms)
        return bottoms[0], "int64", "int64"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch
        import torch.nn.functional as F

        x = bottoms[0]
        axis = self.axis % x.dim()
        values, indices = (t[..., : self.k] for t in x.movedim(axis, -1).sort(dim=-1, descending=True, stable=True))
        flat = torch.arange(x.numel(), device=x.device).reshape(x.shape).movedim(axis, -1).gather(-1, indices)
        missing = self.k - values.shape[-1]
        values = F.pad(values, (0, missing)).movedim(-1, axis)
        indices, flat = (F.pad(t, (0, missing), value=-1).movedim(-1, axis) for t in (indices, flat))
        return values, indices, flat.flatten()
