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
from netc.layers.operators.matmul import as_matrix, matrix_of

if TYPE_CHECKING:
    from torch import Tensor


@operator("FC", "FCTransposed")
@dataclass(frozen=True)
class FullyConnected(OperatorLayer):
    """X W^T + b, X and W flattened to matrices; FCTransposed: X W + b.

    Shapes: X (before `axis`: m, from it: k), W (n, k) before and from `axis_w`, or (k, n) transposed, b (n) to
    (X's extents before `axis`, n).

    >>> FullyConnected().infer(((2, 256, 6, 6), (10, 9216), (10,)), 1)
    ((2, 10),)

    Reference: `fully_connected_op.h`.
    """

    axis: int = 1
    """The first axis of X that becomes columns."""
    axis_w: int = 1
    """The first axis of W that becomes columns."""
    transposed: bool = False
    """Whether W's rows are inputs (FCTransposed)."""

    bottom_count: ClassVar[Count] = Count(3)
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read both axes."""
        axes = operator.integer("axis", 1), operator.integer("axis_w", 1)
        return cls(*axes, transposed=operator.type == "FCTransposed")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for extents that do not match, E103 for an axis that is out of range."""
        x, w, b = bottoms
        _, k = matrix_of(self.type, x, self.axis, "axis")
        rows, columns = matrix_of(self.type, w, self.axis_w, "axis_w")
        n, inner = (columns, rows) if self.transposed else (rows, columns)
        if differ(k, inner):
            fail(f"X{text(x)} has {k} values per item, but W{text(w)} expects {inner}", field="input")
        if len(b) != 1 or differ(b[0], n):
            fail(f"b has shape {text(b)}, expected {text((n,))}", field="input")
        return ((*x[: axis_of(self.type, self.axis, len(x))], n),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per input value and output value."""
        return Cost(macs=product(tops[0]) * product(bottoms[0][self.axis :]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x, w, b = bottoms
        matrix = as_matrix(w, self.axis_w)
        y = F.linear(as_matrix(x, self.axis), matrix.t() if self.transposed else matrix, b)
        at = self.axis % x.dim()
        return y if at == 1 else y.reshape(*x.shape[:at], y.shape[-1])
