"""Reductions of many elements to one: Reduction, ArgMax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.diagnostics import counted
from netc.ir.dims import Shape, product
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields, by_shape
from netc.ir.traits import Role
from netc.layers._axes import axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Reduction", field="reduction_param")
@dataclass(frozen=True)
class Reduction(Layer):
    """`coeff` times the sum, the sum of absolute values, of squares, or the mean, over `axis` and all axes after it.

    Shapes: (n, c, h, w) to (n, c) for axis 2, to a scalar () for axis 0. The gradient of |x| at 0 is 0.

    >>> Reduction(operation="MEAN", axis=2).infer(((2, 3, 5, 7),), 1)
    ((2, 3),)

    Reference: `reduction_layer.cpp`.
    """

    operation: Literal["SUM", "ASUM", "SUMSQ", "MEAN"] = "SUM"
    """How the elements are reduced."""
    axis: int = 0
    """First axis to reduce; all axes after it are reduced as well."""
    coeff: float = 1.0
    """Factor of the result."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """All elements, if no spatial position is left."""
        return by_shape(fields[0], bottoms[0], top)

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an unknown operation."""
        if self.operation not in ("SUM", "ASUM", "SUMSQ", "MEAN"):
            fail(f"unknown operation `{self.operation}`", code="E103", field="operation")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom does not have the axis."""
        return (bottoms[0][: axis_of(self.axis, bottoms[0])],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition per element, one more operation for |x| and for x^2, and one per top element for a factor."""
        each = 2 if self.operation in ("ASUM", "SUMSQ") else 1
        factor = self.coeff != 1 or self.operation == "MEAN"
        return Cost(operations=each * product(bottoms[0]) + factor * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        rows = bottoms[0].flatten(self.axis)
        top = self._reduced(rows)
        return top if self.coeff == 1 else top * self.coeff

    def _reduced(self, rows: Tensor) -> Tensor:
        if self.operation == "MEAN":
            return rows.mean(-1)
        if self.operation == "ASUM":
            return rows.abs().sum(-1)
        return rows.square().sum(-1) if self.operation == "SUMSQ" else rows.sum(-1)


@register("ArgMax", field="argmax_param", v1="ARGMAX")
@dataclass(frozen=True)
class ArgMax(Layer):
    """The positions of the `top_k` largest elements, largest first; of equal elements the last comes first.

    Shapes: without `axis`, over all elements of each item: (n, c, h, w) to (n, 1, top_k, 1), with `out_max_val` to
    (n, 2, top_k, 1), positions and then values; at least three axes. With `axis`, over that axis, whose extent becomes
    `top_k`: positions, or with `out_max_val` only values. Positions have the bottom's dtype, at least float32.

    >>> ArgMax(top_k=3, out_max_val=True).infer(((2, 5, 7),), 1), ArgMax(axis=1).infer(((2, 5, 7),), 1)
    (((2, 2, 3),), ((2, 1, 7),))

    Reference: `argmax_layer.cpp`.
    """

    out_max_val: bool = False
    """Return the maximum values: in addition to their positions without `axis`, instead of them with `axis`."""
    top_k: int = 1
    """Number of elements to find."""
    axis: int | None = None
    """The axis to search along; None searches all elements of each item."""

    no_gradient = (0,)
    role: ClassVar[Role] = "score"
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """One position along the class axis, or all elements."""
        return by_shape(fields[0], bottoms[0], top)

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a `top_k` that is not positive."""
        if self.top_k < 1:
            fail(f"`top_k` is {self.top_k}: it must be at least 1", code="E103", field="top_k")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom lacks the axis, or has fewer elements than `top_k`."""
        return (self._top(bottoms[0]),)

    def _top(self, bottom: Shape) -> Shape:
        axis = axis_of(0 if self.axis is None else self.axis, bottom)
        extent = product(bottom[1:]) if self.axis is None else bottom[axis]
        if self.top_k > extent:
            fail(f"`top_k` {self.top_k} exceeds {counted(extent, 'element')}", field="top_k")
        if self.axis is None:
            ones = (1,) * (len(bottom) - 3)
            return (bottom[0], 2 if self.out_max_val else 1, self.top_k, *ones)
        return (*bottom[:axis], self.top_k, *bottom[axis + 1 :])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """`top_k` comparisons per element."""
        return Cost(operations=self.top_k * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Not differentiable."""
        import torch

        # half precision cannot represent every position above 2048
        bottom = bottoms[0].detach().to(torch.promote_types(bottoms[0].dtype, torch.float32))
        shape = tuple(bottom.shape)
        top = self._top(shape)
        if self.axis is not None:
            places, values = self._greatest(bottom, self.axis)
            return values if self.out_max_val else places
        places, values = self._greatest(bottom.reshape(shape[0], product(shape[1:])), 1)
        both = torch.stack((places, values), 1) if self.out_max_val else places
        return both.reshape(top)

    def _greatest(self, bottom: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Return positions and values of the largest along an axis, flipped so that the last of equals is first."""
        turned = bottom.flip(axis)
        if self.top_k == 1:
            values, places = turned.max(axis, keepdim=True)
        else:
            values, places = (
                t.narrow(axis, 0, self.top_k) for t in turned.sort(dim=axis, descending=True, stable=True)
            )
        return (bottom.shape[axis] - 1 - places).to(bottom.dtype), values
