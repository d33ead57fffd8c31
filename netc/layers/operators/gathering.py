"""Elements selected by indices: Gather, BatchGather, BatchPermutation, OneHot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import ANY, FLOAT, INTEGERS, OperatorLayer, axis_of, check_axes
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Gather", "BatchGather")
@dataclass(frozen=True)
class GatherOperator(OperatorLayer):
    """The slices of the first input along an axis whose indices the second holds; BatchGather along axis 1.

    With `match_outer` the indices have the axes before `axis` in common with the first input, and select within each of
    them. An input without elements along the axis is the output.

    Shapes: (a..., n, b...), indices (i...) to (a..., i..., b...); with `match_outer` indices (a..., i...).

    Reference: `gather_op.h`, `batch_gather_ops.h`.
    """

    axis: int = 0
    """The axis."""
    wrap_indices: bool = False
    """Whether negative indices count from the end; by default they do along axis 0."""
    match_outer: bool = False
    """Whether there are indices for each position of the axes before `axis`."""

    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY, INTEGERS)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the arguments; BatchGather has `match_outer` only."""
        if operator.type == "BatchGather":
            return cls(1, False, operator.flag("match_outer"))
        axis = operator.integer("axis")
        return cls(axis, operator.flag("wrap_indices", axis == 0), operator.flag("match_outer"))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not match, E103 for an axis that is out of range."""
        x, indices = bottoms
        axis = axis_of("Gather", self.axis, len(x))
        if self.match_outer and (len(indices) < axis or differ(x[:axis], indices[:axis])):
            fail(f"the indices {text(indices)} do not begin with {text(x[:axis])}", field="input")
        if x[axis] == 0:
            return (x,)
        return ((*x[:axis], *(indices[axis:] if self.match_outer else indices), *x[axis + 1 :]),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """That of the first input."""
        self.check_dtypes(bottoms)
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index that is out of range."""
        import torch

        x, indices = bottoms
        axis = self.axis % x.dim()
        extent = x.shape[axis]
        (shape,) = self.infer((tuple(x.shape), tuple(indices.shape)), 1)
        if product(shape) == 0:
            return x if extent == 0 else x.new_zeros(shape)
        mode.check_range(indices, -extent if self.wrap_indices else 0, extent, "index")
        positions = indices.long() % extent if self.wrap_indices else indices.long()
        if not self.match_outer:
            return x.index_select(axis, positions.flatten()).reshape(shape)
        outer = product(tuple(x.shape[:axis]))
        rows = x.reshape(outer, extent, -1)
        return rows[torch.arange(outer, device=x.device)[:, None], positions.reshape(outer, -1)].reshape(shape)


@operator("BatchPermutation")
@dataclass(frozen=True)
class BatchPermutation(OperatorLayer):
    """The items of the first input in the order of the indices, a permutation of the items, in the second.

    Shapes: (n, ...), (n) to (n, ...).

    Reference: `batch_permutation_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, frozenset(("int32",)))
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one index per item."""
        x, indices = bottoms
        check_axes("BatchPermutation", indices, 1, 1)
        if not x or differ(x[0], indices[0]):
            fail(f"expected one index per item, got {text(indices)} for {text(x)}", field="input")
        return (x,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index that is out of range."""
        x, indices = bottoms
        mode.check_range(indices, 0, x.shape[0], "index")
        return x.index_select(0, indices.long())


@operator("OneHot")
@dataclass(frozen=True)
class OneHot(OperatorLayer):
    """A row per index, 1 at the index and 0 elsewhere; the second input holds the number of columns.

    Shapes: (n), one element to (n, columns).

    Reference: `one_hot_ops.cc`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (frozenset(("int64",)),)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1)
    indices: ClassVar[tuple[int, ...]] = (0, 1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the indices are a vector, and the number of columns one element."""
        check_axes("OneHot", bottoms[0], 1)
        if differ(product(bottoms[1]), 1):
            fail(f"the number of columns has shape {text(bottoms[1])}, expected one element", field="input")
        return ((bottoms[0][0], UNKNOWN),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index that is out of range, and for a negative number of columns."""
        import torch

        indices, columns = bottoms[0], int(bottoms[1])
        if columns < 0:
            fail(f"a number of columns of {columns} is negative", code="E301", field="input")
        mode.check_range(indices, 0, columns, "index")
        return (indices[:, None] == torch.arange(columns, device=indices.device)).float()
