"""Products of matrices: MatMul, BatchMatMul."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, agree, differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.layers._operator_layer import OperatorLayer, axis_of
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


def matrix_of(name: str, shape: Shape, axis: int, argument: str) -> tuple[int, int]:
    """The extents of a blob flattened to a matrix before an axis. Raises NetcError E103 for one out of range."""
    at = axis_of(name, axis, len(shape), argument)
    return product(shape[:at]), product(shape[at:])


def as_matrix(x: Tensor, axis: int) -> Tensor:
    """The tensor flattened to a matrix before an axis."""
    if x.dim() == 2 and axis in (1, -1):
        return x
    at = axis % x.dim()
    return x.reshape(product(x.shape[:at]), product(x.shape[at:]))


@operator("MatMul")
@dataclass(frozen=True)
class MatMul(OperatorLayer):
    """The product of A and B, each flattened to a matrix before its axis and transposed if so stated.

    Shapes: A (m, k), B (k, n) as matrices to (m, n); to the shape of a third input, which has as many elements.

    >>> MatMul(trans_b=True).infer(((2, 3, 4), (5, 12)), 1)
    ((2, 5),)

    Reference: `matmul_op.h`.
    """

    axis_a: int = 1
    """The first axis of A that becomes columns."""
    axis_b: int = 1
    """The first axis of B that becomes columns."""
    trans_a: bool = False
    """Whether A's matrix is transposed."""
    trans_b: bool = False
    """Whether B's matrix is transposed."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for extents that do not match, E103 for an axis that is out of range."""
        m, k = self._extents(bottoms[0], self.axis_a, "axis_a", self.trans_a)
        rows, n = self._extents(bottoms[1], self.axis_b, "axis_b", self.trans_b)
        if differ(k, rows):
            fail(f"A is a matrix of shape {text((m, k))}, but B of shape {text((rows, n))}", field="input")
        if len(bottoms) < 3:
            return ((m, n),)
        if differ(product(bottoms[2]), m * n):
            fail(
                f"the product {text((m, n))} cannot have the shape {text(bottoms[2])} of the third input", field="input"
            )
        return (bottoms[2],)

    def _extents(self, shape: Shape, axis: int, argument: str, transposed: bool) -> tuple[int, int]:
        rows, columns = matrix_of(self.type, shape, axis, argument)
        return (columns, rows) if transposed else (rows, columns)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per element of A and column of the product."""
        _, n = self._extents(bottoms[1], self.axis_b, "axis_b", self.trans_b)
        return Cost(macs=product(bottoms[0]) * n)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        a, b = as_matrix(bottoms[0], self.axis_a), as_matrix(bottoms[1], self.axis_b)
        y = (a.t() if self.trans_a else a) @ (b.t() if self.trans_b else b)
        return y if len(bottoms) < 3 else y.reshape(bottoms[2].shape)


@operator("BatchMatMul")
@dataclass(frozen=True)
class BatchMatMul(OperatorLayer):
    """The products of the matrices in the last two axes of A and B, for each item of the axes before.

    A vector is a row of A and a column of B; transposition does not affect it. Two vectors have a product of shape (1).

    Shapes: A (..., m, k), B (..., k, n) to (..., m, n), each matrix transposed if so stated; with `broadcast`, the axes
    before may differ as in NumPy.

    >>> BatchMatMul(trans_b=True).infer(((7, 2, 3), (7, 5, 3)), 1)
    ((7, 2, 5),)

    Reference: `batch_matmul_op.h`.
    """

    trans_a: bool = False
    """Whether A's matrices are transposed."""
    trans_b: bool = False
    """Whether B's matrices are transposed."""
    broadcast: bool = False
    """Whether the axes before the last two may differ."""

    bottom_count: ClassVar[Count] = Count(2)
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not match."""
        for index, shape in enumerate(bottoms):
            if not shape:
                fail(f"input {index} of `{self.type}` is a scalar, expected at least 1 axis", field="input")
        a, b = bottoms
        left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
        left = (*left[:-2], left[-1], left[-2]) if self.trans_a and len(a) > 1 else left
        right = (*right[:-2], right[-1], right[-2]) if self.trans_b and len(b) > 1 else right
        if differ(left[-1], right[-2]):
            fail(f"A{text(a)} has {left[-1]} columns, but B{text(b)} has {right[-2]} rows", field="input")
        vectors = len(a) == 1 or len(b) == 1
        batch = left[:-2] or right[:-2] if vectors else self._batch(left[:-2], right[:-2])
        matrix = (*left[-2:-1][: len(a) - 1], *right[-1:][: len(b) - 1])
        return ((*batch, *matrix) or (1,),)

    def _batch(self, a: Shape, b: Shape) -> Shape:
        """The axes before the last two of the product."""
        axes = max(len(a), len(b))
        left, right = (1,) * (axes - len(a)) + a, (1,) * (axes - len(b)) + b
        both = list(zip(left, right))
        if any(differ(p, q) and (not self.broadcast or (p != 1 and q != 1)) for p, q in both):
            help = None if self.broadcast else "`broadcast: 1` allows axes to differ as in NumPy"
            fail(f"A and B have the batch axes {text(a)} and {text(b)}", field="input", help=help)
        return tuple(q if agree(p, 1) else p for p, q in both)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per element of the product and column of A."""
        a = bottoms[0]
        return Cost(macs=product(tops[0]) * (a[-2] if self.trans_a and len(a) > 1 else a[-1]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        a, b = bottoms
        left = a.mT if self.trans_a and a.dim() > 1 else a
        right = b.mT if self.trans_b and b.dim() > 1 else b
        y = left @ right
        return y.reshape(1) if a.dim() == b.dim() == 1 else y
