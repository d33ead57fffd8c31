"""Inner products with a matrix that is an input: FC, FCTransposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, axis_of
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("FC", "FCTransposed")
@dataclass(frozen=True)
class FullyConnected(OperatorLayer):
    """X W^T + b, X and W flattened to matrices; FCTransposed: X W + b.

    Shapes: X (before `axis`: m, from it: k), W (n, k) before and from `axis_w`, or (k, n) transposed, b (n) to
    (X's extents before `axis`, n).

    Reference: `fully_connected_op.h`.
    """

    axis: int = 1
    axis_w: int = 1
    transposed: bool = False

    bottom_count: ClassVar[Count] = Count(3)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read both axes."""
        axes = operator.integer("axis", 1), operator.integer("axis_w", 1)
        return cls(*axes, transposed=operator.type == "FCTransposed")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for extents that do not match, E103 for an axis that is out of range."""
        x, w, b = bottoms
        axis = self.axis if self.axis == len(x) else axis_of(self.type, self.axis, len(x))
        axis_w = axis_of(self.type, self.axis_w, len(w), "axis_w")
        k, rows, columns = product(x[axis:]), product(w[:axis_w]), product(w[axis_w:])
        n, inner = (columns, rows) if self.transposed else (rows, columns)
        if differ(k, inner):
            fail(f"X{text(x)} has {k} values per item, but W{text(w)} expects {inner}", field="input")
        if len(b) != 1 or differ(b[0], n):
            fail(f"b has shape {text(b)}, expected {text((n,))}", field="input")
        return ((*x[:axis], n),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per input value and output value."""
        return Cost(macs=product(tops[0]) * product(bottoms[0][self.axis :]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x, w, b = bottoms
        axis = self.axis % x.dim() if self.axis != x.dim() else self.axis
        matrix = w.flatten(0, self.axis_w - 1) if self.axis_w > 1 else w
        matrix = matrix.flatten(1)
        flat = x.reshape(-1 if axis else 1, product(tuple(x.shape[axis:])))
        y = F.linear(flat, matrix.t() if self.transposed else matrix, b)
        return y.reshape(*x.shape[:axis], y.shape[-1])
