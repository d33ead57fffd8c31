"""Reductions of the first or the last axes: ReduceFrontSum, ReduceBackMean, ReduceFrontMax, ..."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._operator_layer import FLOAT, NUMBERS, TypedOperator
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("ReduceFrontSum", "ReduceFrontMean", "ReduceFrontMax", "ReduceBackSum", "ReduceBackMean", "ReduceBackMax")
@dataclass(frozen=True)
class OuterReduce(TypedOperator):
    """The sum, mean or maximum over the first (Front) or last (Back) axes; a maximum's gradient goes to every maximum.

    With lengths, one for each result, only that many of the first elements are reduced; for a length of 0 the first
    element stands for their sum or maximum, without gradient. Without elements the result is 0.

    Shapes: (r, k, ...) to (k, ...), r as many axes as `num_reduce_dim`; Back: (k, ..., r) to (k, ...). With lengths of
    as many elements as the result one axis is reduced.

    >>> OuterReduce("ReduceFrontSum", num_reduce_dim=2).infer(((2, 3, 4),), 1)
    ((4,),)
    >>> OuterReduce("ReduceBackMax").infer(((2, 3, 4), (6,)), 1)
    ((2, 3),)

    Reference: `reduce_front_back_sum_mean_ops.h`, `reduce_front_back_max_ops.h`.
    """

    num_reduce_dim: int = 1
    """How many axes are reduced."""

    bottom_count: ClassVar[Count] = Count(1, 2)
    no_gradient = (1,)

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """float32 for maxima, numbers for the others; lengths are int32."""
        return (FLOAT if self._kind == "Max" else NUMBERS, frozenset(("int32",)))

    @property
    def _front(self) -> bool:
        return self.type.startswith("ReduceFront")

    @property
    def _kind(self) -> str:
        return self.type.removeprefix("ReduceFront").removeprefix("ReduceBack")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for more axes than there are, E102 for lengths that do not fit."""
        shape, count = bottoms[0], self.num_reduce_dim
        if not 0 <= count <= len(shape):
            fail(
                f"`num_reduce_dim: {count}` of `{self.type}` is out of range for X{text(shape)}",
                code="E103",
                field="num_reduce_dim",
            )
        top = shape[count:] if self._front else shape[: len(shape) - count]
        if len(bottoms) > 1:
            if count != 1:
                fail(f"with lengths `num_reduce_dim` must be 1, not {count}", code="E103", field="num_reduce_dim")
            if differ(product(bottoms[1]), product(top)):
                fail(f"{product(bottoms[1])} lengths for {product(top)} results", field="input")
        return (top,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element of the input."""
        return super().cost(bottoms, bottoms[:1])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        (shape,) = self.infer(tuple(tuple(bottom.shape) for bottom in bottoms), 1)
        if x.numel() == 0:
            return x.new_zeros(shape)
        rows = x.reshape(-1, product(shape)) if self._front else x.reshape(product(shape), -1).t()
        if len(bottoms) > 1:
            y = self._of_lengths(rows, bottoms[1].reshape(-1), mode)
        elif self._kind == "Sum":
            y = rows.sum(0, dtype=x.dtype)
        elif self._kind == "Mean":
            y = self._divided(rows.sum(0, dtype=x.dtype), rows.shape[0])
        else:
            y = self._maximum(rows)
        return y.reshape(shape)

    def _of_lengths(self, rows: Tensor, lengths: Tensor, mode: Mode) -> Tensor:
        """The result for each column of a matrix, from its first rows; the first alone, without gradient, for 0."""
        import torch

        mode.check_range(lengths, 0, rows.shape[0] + 1, "length")
        left_out = torch.arange(rows.shape[0], device=rows.device).unsqueeze(1) >= lengths
        if self._kind == "Max":
            found = self._maximum(rows.masked_fill(left_out, float("-inf")))
        else:
            found = rows.masked_fill(left_out, 0).sum(0, dtype=rows.dtype)
        y = rows[0].detach().where(lengths == 0, found)
        return self._divided(y, lengths) if self._kind == "Mean" else y

    def _divided(self, total: Tensor, count: Tensor | int) -> Tensor:
        """A quotient of integers is truncated."""
        import torch

        return total / count if total.is_floating_point() else torch.div(total, count, rounding_mode="trunc")

    def _maximum(self, rows: Tensor) -> Tensor:
        from netc.functions.every_extreme import to_every

        return to_every(rows.detach().amax(0, keepdim=True), rows).squeeze(0)
