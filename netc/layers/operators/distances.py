"""Distances and similarities of rows, and criteria on them: SquaredL2Distance, CosineSimilarity and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, Mode, Shapes, fail
from netc.layers._operator_layer import FLOAT, OperatorLayer, check_shape
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

_SIGNS: frozenset[DType] = frozenset(("int32",))
EPSILON = 1e-12
"""The smallest squared norm that CosineSimilarity divides by, and the largest difference without gradient of L1Distance
(`kEps`)."""


@dataclass(frozen=True)
class _OfRows(OperatorLayer):
    """One number for each row of two inputs of the same shape: an item, or an element of vectors."""

    bottom_count: ClassVar[Count] = Count(2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of different shapes."""
        check_shape(self.type, bottoms[1], bottoms[0], 1)
        return ((bottoms[0][0] if bottoms[0] else 1,),)


def _row_matrix(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], product(tuple(x.shape[1:]))) if x.dim() else x.reshape(1, 1)


@operator("SquaredL2Distance")
@dataclass(frozen=True)
class SquaredL2Distance(_OfRows):
    """Half the squared distance of rows.

    Shapes: (n, ...), (n, ...) to (n).

    Reference: `distance_op.cc`.
    """

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return (_row_matrix(bottoms[0]) - _row_matrix(bottoms[1])).square().sum(1) / 2


@operator("L1Distance")
@dataclass(frozen=True)
class L1Distance(_OfRows):
    """The sum of the absolute differences of rows; those of at most 1e-12 have no gradient.

    Shapes: (n, ...), (n, ...) to (n).

    Reference: `distance_op.cc`.
    """

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        differences = (_row_matrix(bottoms[0]) - _row_matrix(bottoms[1])).abs()
        return differences.where(differences > EPSILON, differences.detach()).sum(1)


@operator("DotProduct")
@dataclass(frozen=True)
class DotProduct(_OfRows):
    """The dot product of rows; no rows if there are no elements.

    Shapes: (n, ...), (n, ...) to (n).

    Reference: `distance_op.cc`.
    """

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of different shapes."""
        (rows,) = super().infer(bottoms, tops)
        return ((0,) if product(bottoms[0]) == 0 else rows,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        products = (_row_matrix(bottoms[0]) * _row_matrix(bottoms[1])).sum(1)
        return products if bottoms[0].numel() else products[:0]


@operator("CosineSimilarity")
@dataclass(frozen=True)
class CosineSimilarity(_OfRows):
    """The cosine of the angle of rows; squared norms below 1e-12 count as 1e-12.

    Shapes: (n, ...), (n, ...) to (n).

    Reference: `distance_op.cc`.
    """

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x, y = map(_row_matrix, bottoms)
        squares = x.square().sum(1), y.square().sum(1)
        # the gradient is that of the norm even where the constant replaces it
        a, b = (square + (square.clamp(min=EPSILON) - square).detach() for square in squares)
        return (x * y).sum(1) / (a.sqrt() * b.sqrt())


@operator("MarginRankingCriterion")
@dataclass(frozen=True)
class MarginRankingCriterion(OperatorLayer):
    """max(0, margin - y (a - b)) for each element of a, b, and y, which is 1 or -1.

    Where the result is 0 because margin = y (a - b), both inputs get a gradient.

    Shapes: a, and b and y of type int32 with as many elements, to that of a.

    Reference: `margin_ranking_criterion_op.cc`.
    """

    margin: float = 1.0
    """How far the elements are to be apart."""

    bottom_count: ClassVar[Count] = Count(3)
    is_loss: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, FLOAT, _SIGNS)
    no_gradient: ClassVar[tuple[int, ...]] = (2,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for different numbers of elements."""
        _check_counts(bottoms)
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        a, b, y = (bottom.reshape(bottoms[0].shape) for bottom in bottoms)
        distances = self.margin - y * (a - b)
        return distances.where(~(distances < 0), 0.0)


@operator("CosineEmbeddingCriterion")
@dataclass(frozen=True)
class CosineEmbeddingCriterion(OperatorLayer):
    """1 - s for each similarity s with y = 1, max(0, s - margin) for the others.

    Where s = margin it gets a gradient.

    Shapes: s, and y of type int32 with as many elements, to that of s.

    Reference: `cosine_embedding_criterion_op.cc`.
    """

    margin: float = 0.0
    """The similarity that pairs of different classes may have."""

    bottom_count: ClassVar[Count] = Count(2)
    is_loss: ClassVar[bool] = True
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT, _SIGNS)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for different numbers of elements."""
        _check_counts(bottoms)
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        s, y = bottoms[0], bottoms[1].reshape(bottoms[0].shape)
        return (1 - s).where(y == 1, (s - self.margin).where(s >= self.margin, 0.0))


def _check_counts(shapes: Sequence[Shape]) -> None:
    for index, shape in enumerate(shapes[1:], 1):
        if differ(product(shape), product(shapes[0])):
            expected = f"expected as many elements as {text(shapes[0])}"
            fail(f"input {index} has shape {text(shape)}, {expected}", field="input")
