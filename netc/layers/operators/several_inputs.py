"""Functions of any number of inputs, computed element by element: Sum, SumRelu, Mean, Max, Min, WeightedSum, Where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, differ, known, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Sees
from netc.layers._operator_layer import ANY, NUMBERS, OperatorLayer, TypedOperator, check_same_types, check_shape
from netc.layers._operators import operator
from netc.layers.operators._broadcasting import numpy_shape

if TYPE_CHECKING:
    from torch import Tensor


@operator("Sum", "SumRelu", "Max", "Min")
@dataclass(frozen=True)
class SameShapes(TypedOperator):
    """The sum, its positive part (SumRelu), the maximum or the minimum of inputs of one shape and type.

    The gradient of a maximum or minimum goes to every input that equals it.

    Shapes: any, the same for all inputs, kept.

    >>> SameShapes("Sum").infer(((2, 3), (2, 3)), 1)
    ((2, 3),)

    Reference: `utility_ops.h`, SumOp; `minmax_ops.h`; `sum_relu_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(1, None)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    sees: ClassVar[Sees] = "place"

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """A sum is not read again; extremes and positive parts are."""
        return self.type == "Sum"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for inputs of different shapes."""
        shape = bottoms[0]
        for index, other in enumerate(bottoms[1:], 1):
            check_shape(self.type, other, shape, index)
            shape = tuple(b if not known(a) else a for a, b in zip(shape, other))
        return (shape,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type of the inputs. Raises NetcError E107 for inputs of different types."""
        self.check_dtypes(bottoms)
        check_same_types(self.type, bottoms)
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One operation per element of each further input, and one comparison of SumRelu."""
        return Cost(operations=product(tops[0]) * (len(bottoms) - 1 + (self.type == "SumRelu")))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        if len(bottoms) == 1:
            return bottoms[0].relu() if self.type == "SumRelu" else bottoms[0].clone()
        if self.type in ("Max", "Min"):
            return self._extreme(bottoms)
        total = bottoms[0] + bottoms[1]
        for bottom in bottoms[2:]:
            total.add_(bottom)
        return total.relu_() if self.type == "SumRelu" else total

    def _extreme(self, bottoms: Sequence[Tensor]) -> Tensor:
        import torch

        from netc.functions.every_extreme import to_every

        choose = torch.maximum if self.type == "Max" else torch.minimum
        return to_every(reduce(choose, [bottom.detach() for bottom in bottoms]), *bottoms)


@operator("Mean")
@dataclass(frozen=True)
class MeanOperator(OperatorLayer):
    """The mean of the inputs, repeated by NumPy's rule.

    Shapes: those of the inputs to that which NumPy broadcasts to.

    >>> MeanOperator().infer(((2, 3), (3,)), 1)
    ((2, 3),)

    Reference: `mean_op.h`.
    """

    overwrites_first: bool = False
    """Whether the output has the blob of the first input, and so its shape."""

    bottom_count: ClassVar[Count] = Count(1, None)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read whether the output overwrites the first input."""
        return cls(operator.inputs[:1] == operator.outputs[:1])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit."""
        top = numpy_shape("Mean", bottoms)
        if self.overwrites_first and differ(top, bottoms[0]):
            fail(
                f"the output has shape {text(top)}, but the blob that it overwrites {text(bottoms[0])}", field="output"
            )
        return (top,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition per element of each further input, and one division."""
        return Cost(operations=product(tops[0]) * len(bottoms))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        total = bottoms[0]
        for bottom in bottoms[1:]:
            total = total + bottom
        return total * (1 / len(bottoms))


@operator("WeightedSum")
@dataclass(frozen=True)
class WeightedSum(OperatorLayer):
    """The sum of inputs, each times the number that the input after it holds.

    Shapes: (X0, one element, X1, one element, ...) to X0; each further X has as many elements.

    >>> WeightedSum().infer(((2, 3), (1,), (6,), (1,)), 1)
    ((2, 3),)

    Reference: `utility_ops.h`, WeightedSumOp.
    """

    grad_on_w: bool = False
    """Whether the numbers have gradients."""

    bottom_count: ClassVar[Count] = Count(2, None)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an odd number of inputs, an empty X0, and other numbers of elements."""
        if len(bottoms) % 2:
            fail(f"`WeightedSum` expects pairs of inputs, got {len(bottoms)}", field="input")
        count = product(bottoms[0])
        if count == 0:
            fail("input 0 of `WeightedSum` has no elements", field="input")
        for index, shape in enumerate(bottoms):
            expected = count if index % 2 == 0 else 1
            if differ(product(shape), expected):
                shown = f"input {index} of `WeightedSum` has shape {text(shape)}"
                fail(f"{shown}, expected {expected} element{'' if expected == 1 else 's'}", field="input")
        return (bottoms[0],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and addition per element of each X."""
        return Cost(operations=product(tops[0]) * len(bottoms))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        xs, factors = bottoms[::2], [factor.reshape(()) for factor in bottoms[1::2]]
        if not self.grad_on_w:
            factors = [factor.detach() for factor in factors]
        total = xs[0] * factors[0]
        for x, factor in zip(xs[1:], factors[1:]):
            total = total + x.reshape(total.shape) * factor
        return total


@operator("Where")
@dataclass(frozen=True)
class Where(OperatorLayer):
    """Elements of the second input where the first, Boolean, is true, and of the third elsewhere.

    Shapes: C, A, B, all the same, to that; with `broadcast_on_rows` C (n), A and B (n, ...).

    >>> Where(broadcast_on_rows=True).infer(((4,), (4, 3), (4, 3)), 1)
    ((4, 3),)

    Reference: `elementwise_logical_ops.h`.
    """

    broadcast_on_rows: bool = False
    """Whether the first input chooses whole items of the first axis."""

    bottom_count: ClassVar[Count] = Count(3)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (frozenset(("bool",)), NUMBERS | {"bool"}, ANY)
    no_gradient = (0,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit."""
        chosen, a, b = bottoms
        check_shape("Where", b, a, 2)
        expected: Shape = (a[0] if a else UNKNOWN,) if self.broadcast_on_rows else a
        check_shape("Where", chosen, expected, 0)
        return (a,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type of the second and third input. Raises NetcError E107 if they differ."""
        self.check_dtypes(bottoms)
        check_same_types("Where", bottoms, first=1)
        return (bottoms[1],)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        chosen, a, b = bottoms
        if self.broadcast_on_rows:
            chosen = chosen.reshape(-1, *(1,) * (a.dim() - 1))
        return a.where(chosen, b)
