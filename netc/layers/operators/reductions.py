"""Reductions along any axes, or over all elements: ReduceSum, ReduceMax, Moments, SumElements, LpNorm, ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import Shape
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._operator_layer import (
    FLOAT,
    NUMBERS,
    OperatorLayer,
    TypedOperator,
    axis_of,
    channel_axis,
    check_axes,
    check_order,
)
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


def _reduced(shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    return tuple(1 if i in axes else extent for i, extent in enumerate(shape) if keepdims or i not in axes)


@operator("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")
@dataclass(frozen=True)
class Reduce(TypedOperator):
    """The sum, mean, maximum, minimum, sum of magnitudes (L1) or root of the sum of squares (L2) along `axes`.

    The gradient of a maximum or minimum goes to every element that equals it. Over no elements a maximum is the lowest
    number, a minimum the largest, and the others are 0.

    Shapes: any to the same with extent 1 along `axes`, or without these axes.

    >>> Reduce("ReduceSum", axes=(1,)).infer(((2, 3, 4),), 1), Reduce("ReduceSum", keepdims=False).infer(((2, 3),), 1)
    (((2, 1, 4),), ((),))

    Reference: `reduce_ops.h`, `reduce_ops.cc`.
    """

    axes: tuple[int, ...] = ()
    """The axes; empty for all."""
    keepdims: bool = True
    """Whether the axes stay, with extent 1."""

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """Means and norms are of float32."""
        return (FLOAT if self.type in ("ReduceMean", "ReduceL1", "ReduceL2") else NUMBERS,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        return (_reduced(bottoms[0], self._axes(len(bottoms[0])), self.keepdims),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element of the input."""
        return super().cost(bottoms, bottoms)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        axes = self._axes(x.dim())
        shape = _reduced(tuple(x.shape), axes, self.keepdims)
        if not axes:
            return x.abs() if self.type in ("ReduceL1", "ReduceL2") else x.clone()
        if x.numel() == 0:
            limits = torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(x.dtype)
            return x.new_full(shape, self._of_nothing(limits))
        if self.type in ("ReduceMax", "ReduceMin"):
            from netc.functions.every_extreme import to_every

            extreme = torch.amax if self.type == "ReduceMax" else torch.amin
            return to_every(extreme(x.detach(), axes, keepdim=True), x).reshape(shape)
        if self.type == "ReduceSum":
            return x.sum(axes, dtype=x.dtype, keepdim=self.keepdims)
        if self.type == "ReduceMean":
            return x.mean(axes, keepdim=self.keepdims)
        order = 1 if self.type == "ReduceL1" else 2
        y: Tensor = torch.linalg.vector_norm(x, order, axes, keepdim=self.keepdims)
        return y

    def _of_nothing(self, limits: Any) -> int | float:
        lowest, largest = limits.min, limits.max
        result: int | float = {"ReduceMax": lowest, "ReduceMin": largest}.get(self.type, 0)
        return result

    def _axes(self, axes: int) -> tuple[int, ...]:
        if not self.axes:
            return tuple(range(axes))
        return tuple(sorted({axis_of(self.type, axis, axes, "axes") for axis in self.axes}))


@operator("Moments")
@dataclass(frozen=True)
class MomentsOperator(OperatorLayer):
    """The mean and the biased variance along `axes`.

    Shapes: any to twice the same with extent 1 along `axes`, or without these axes.

    >>> MomentsOperator(axes=(0, 2)).infer(((2, 3, 4),), 2)
    ((1, 3, 1), (1, 3, 1))

    Reference: `moments_op.h`.
    """

    axes: tuple[int, ...] = ()
    """The axes, counted from the front; empty for all."""
    keepdims: bool = True
    """Whether the axes stay, with extent 1."""

    top_count: ClassVar[Count] = Count(2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        for axis in self.axes:
            if axis < 0:
                fail(f"`axes` of `Moments` has {axis}: axes are counted from 0", code="E103", field="axes")
            axis_of("Moments", axis, len(bottoms[0]), "axes")
        axes = self.axes or range(len(bottoms[0]))
        return (_reduced(bottoms[0], axes, self.keepdims),) * 2

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition, and one subtraction, square and addition per element of the input."""
        return Cost(operations=4 * super().cost(bottoms, bottoms).operations)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Computed as described in the class docstring."""
        import torch

        axes = tuple(set(self.axes)) or tuple(range(bottoms[0].dim()))
        variance, mean = torch.var_mean(bottoms[0], axes, correction=0, keepdim=self.keepdims)
        return mean, variance


@operator("SumElements", "SumElementsInt", "SumSqrElements")
@dataclass(frozen=True)
class SumElements(TypedOperator):
    """The sum of all elements, or of their squares (SumSqrElements).

    Shapes: any to a scalar.

    >>> SumElements("SumElements").infer(((2, 3),), 1)
    ((),)

    Reference: `reduction_ops.h`.
    """

    average: bool = False
    """Whether to divide by the number of elements; SumElementsInt does not."""

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """int32 for SumElementsInt."""
        return (frozenset(("int32",)) if self.type == "SumElementsInt" else FLOAT,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """A scalar."""
        return ((),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element of the input."""
        return super().cost(bottoms, bottoms)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0].square() if self.type == "SumSqrElements" else bottoms[0]
        if self.type == "SumElementsInt":
            return x.sum(dtype=x.dtype)
        return x.mean() if self.average else x.sum()


@operator("LpNorm")
@dataclass(frozen=True)
class LpNorm(OperatorLayer):
    """The sum of magnitudes (`p: 1`) or of squares (`p: 2`, without the root).

    Shapes: any to (1).

    >>> LpNorm(p=1).infer(((2, 3),), 1)
    ((1,),)

    Reference: `lpnorm_op.cc`.
    """

    p: int = 2
    """1 or 2."""
    average: bool = False
    """Whether to divide by the number of elements."""

    def __post_init__(self) -> None:
        """Raises NetcError E103 for another power."""
        if self.p not in (1, 2):
            fail(f"`p` is {self.p}: it must be 1 or 2", code="E103", field="p")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """One number."""
        return ((1,),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One magnitude or square, and one addition per element of the input."""
        return Cost(operations=2 * super().cost(bottoms, bottoms).operations)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        terms = bottoms[0].abs() if self.p == 1 else bottoms[0].square()
        return (terms.mean() if self.average else terms.sum()).reshape(1)


@operator("RowwiseMax", "ColwiseMax")
@dataclass(frozen=True)
class MatrixMax(TypedOperator):
    """The maximum of each row (RowwiseMax) or column (ColwiseMax) of matrices; its gradient goes to every maximum.

    Shapes: (n, r, c) to (n, r), or (n, c).

    >>> MatrixMax("RowwiseMax").infer(((2, 3, 4),), 1), MatrixMax("ColwiseMax").infer(((2, 3, 4),), 1)
    (((2, 3),), ((2, 4),))

    Reference: `reduction_ops.h`, MaxReductionOp.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input has 3 axes, and for matrices without elements."""
        check_axes(self.type, bottoms[0], 3)
        n, rows, columns = bottoms[0]
        if (columns if self.type == "RowwiseMax" else rows) == 0:
            fail(f"`{self.type}` has no elements to choose from", field="input")
        return ((n, rows if self.type == "RowwiseMax" else columns),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element of the input."""
        return super().cost(bottoms, bottoms)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.every_extreme import to_every

        axis = 2 if self.type == "RowwiseMax" else 1
        return to_every(bottoms[0].detach().amax(axis, keepdim=True), bottoms[0]).squeeze(axis)


@operator("ChannelStats")
@dataclass(frozen=True)
class ChannelStats(OperatorLayer):
    """The sum and the sum of squares of each channel.

    Shapes: (n, c, ...), or (n, ..., c) in order NHWC, to twice (c).

    >>> ChannelStats().infer(((2, 3, 5, 7),), 2)
    ((3,), (3,))

    Reference: `channel_stats_op.h`.
    """

    order: str = "NCHW"
    """Which axis is that of the channels."""

    top_count: ClassVar[Count] = Count(2)
    sees: ClassVar[Sees] = "all"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an unknown order."""
        check_order(self.order)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an input without a channel axis."""
        if len(bottoms[0]) < 2:
            fail(f"`ChannelStats` expects an input with at least 2 axes, got {len(bottoms[0])}", field="input")
        return ((bottoms[0][channel_axis(self.order, len(bottoms[0]))],),) * 2

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Two additions and one square per element of the input."""
        return Cost(operations=3 * super().cost(bottoms, bottoms).operations)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, Tensor]:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        axes = [axis for axis in range(x.dim()) if axis != channel_axis(self.order, x.dim())]
        return x.sum(axes), x.square().sum(axes)
