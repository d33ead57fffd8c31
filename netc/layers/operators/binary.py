"""Functions of two inputs that are computed element by element: Add, Mul, Div, Pow, EQ, And, BitwiseOr, ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from netc.ir.dims import differ, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import FLOAT, INTEGERS, NUMBERS, OperatorLayer, TypedOperator, check_same_types
from netc.layers._operators import operator
from netc.layers.operators._broadcasting import aligned, legacy_axis, legacy_span, numpy_shape

if TYPE_CHECKING:
    from torch import Tensor

BOOL: frozenset[DType] = frozenset(("bool",))
FIRST = ((0, 0),)
EITHER = ((0, 0), (1, 0))
NONE: tuple[tuple[int, int], ...] = ()


class _Function(NamedTuple):
    function: str
    """The function of torch."""
    accepts: frozenset[DType] = NUMBERS
    in_place_pairs: tuple[tuple[int, int], ...] = FIRST
    compares: bool = False
    """Whether the result is Boolean, without gradient."""


_FUNCTIONS: Mapping[str, _Function] = {
    "Add": _Function("add", in_place_pairs=EITHER),
    "Sub": _Function("sub", in_place_pairs=EITHER),
    "Mul": _Function("mul", in_place_pairs=EITHER),
    "Div": _Function("div"),
    "EQ": _Function("eq", NUMBERS | BOOL, NONE, compares=True),
    "NE": _Function("ne", NUMBERS | BOOL, NONE, compares=True),
    "LT": _Function("lt", NUMBERS | BOOL, NONE, compares=True),
    "LE": _Function("le", NUMBERS | BOOL, NONE, compares=True),
    "GT": _Function("gt", NUMBERS | BOOL, NONE, compares=True),
    "GE": _Function("ge", NUMBERS | BOOL, NONE, compares=True),
    "And": _Function("logical_and", BOOL, compares=True),
    "Or": _Function("logical_or", BOOL, compares=True),
    "Xor": _Function("logical_xor", BOOL, compares=True),
    "BitwiseAnd": _Function("bitwise_and", INTEGERS | BOOL),
    "BitwiseOr": _Function("bitwise_or", INTEGERS | BOOL),
    "BitwiseXor": _Function("bitwise_xor", INTEGERS | BOOL),
    "Pow": _Function("pow", FLOAT, EITHER),
}


@operator(
    "Add",
    "Sub",
    "Mul",
    "Div",
    "EQ",
    "NE",
    "LT",
    "LE",
    "GT",
    "GE",
    "And",
    "Or",
    "Xor",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
)
@dataclass(frozen=True)
class Binary(TypedOperator):
    """The function of the operator's name, of two inputs of one type; integers are divided towards 0.

    With `broadcast: 1` the second input is repeated to the shape of the first: its axes, without leading and trailing
    1s, match those of the first from `axis` on (the last ones if `axis` is not set), or it has one element. Otherwise
    NumPy's rule applies, and `axis` is not read.

    Shapes: those of the inputs to that of the first, or to that which NumPy broadcasts to.

    >>> Binary("Add", broadcast=True, axis=1).infer(((2, 3, 4, 5), (3,)), 1)
    ((2, 3, 4, 5),)
    >>> Binary("Add").infer(((3, 1), (2, 1, 4)), 1)
    ((2, 3, 4),)

    Reference: `elementwise_ops.h`, `elementwise_ops_utils.cc`, `pow_op.h`.
    """

    broadcast: bool = False
    """Whether the older rule applies."""
    axis: int = -1
    """The axis of the first input at which the second starts."""
    overwritten: int | None = None
    """Which input the output has the blob of: their shapes must agree."""

    bottom_count: ClassVar[Count] = Count(2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E023 for an output in the blob of an input that is repeated."""
        broadcast = operator.flag("broadcast")
        shared = [i for i, name in enumerate(operator.inputs[:2]) if name in operator.outputs[:1]]
        if broadcast and 1 in shared:
            operator.fail(
                f"`{operator.type}` with `broadcast: 1` cannot write its output to the blob of input 1",
                "broadcast",
                code="E023",
                help="use a different name for the output",
            )
        axis = legacy_axis(operator) if broadcast else -1
        return cls(operator.type, broadcast, axis, shared[0] if shared else None)

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """Numbers, integers or Booleans."""
        return (_FUNCTIONS[self.type].accepts,)

    @property
    def in_place_pairs(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        """As the schema of the operator says."""
        return _FUNCTIONS[self.type].in_place_pairs

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Unless torch's backward pass reads the result."""
        return self.type != "Pow"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit, E103 for an axis that is out of range."""
        if self.broadcast:
            legacy_span(self.type, bottoms[0], bottoms[1], self.axis)
            return bottoms[:1]
        top = numpy_shape(self.type, bottoms)
        if self.overwritten is not None and differ(top, bottoms[self.overwritten]):
            fail(
                f"the output has shape {text(top)}, but the blob that it overwrites {text(bottoms[self.overwritten])}",
                field="output",
            )
        return (top,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Booleans for comparisons, else the type of the inputs. Raises NetcError E107 for inputs of two types."""
        self.check_dtypes(bottoms)
        check_same_types(self.type, bottoms)
        known = next((dtype for dtype in bottoms if dtype != "unknown"), bottoms[0])
        return ("bool",) if _FUNCTIONS[self.type].compares else (known,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        a, b = bottoms
        if self.broadcast:
            b = aligned(a, b, self.axis)
        if self.type == "Div" and not b.is_floating_point():
            if mode.check is not None:
                mode.check(b, b == 0, "division of an integer by")
            return torch.div(a, b, rounding_mode="trunc")
        y: Tensor = getattr(torch, _FUNCTIONS[self.type].function)(a, b)
        return y


@operator("Pow")
@dataclass(frozen=True)
class Pow(Binary):
    """The first input to the power of the second, which is repeated as by Add, or to that of `exponent`.

    Shapes: as those of Add; with `exponent` any, kept.

    >>> Pow("Pow", exponent=0.5).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `pow_op.h`.
    """

    exponent: float | None = None
    """The power in place of a second input."""

    bottom_count: ClassVar[Count] = Count(1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for one input without an `exponent`."""
        if len(operator.inputs) != 1:
            return super().from_caffe2(operator)
        operator.require("exponent")
        return cls("Pow", exponent=operator.real("exponent"))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit, E103 for an axis that is out of range."""
        return bottoms if len(bottoms) == 1 else super().infer(bottoms, tops)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        if self.exponent is not None:
            return bottoms[0] ** self.exponent
        return super().forward(bottoms, weights, mode)


@operator("SumReduceLike")
@dataclass(frozen=True)
class SumReduceLike(OperatorLayer):
    """The first input summed over the axes along which the second would be repeated to it with `broadcast: 1`.

    Shapes: A, B to B.

    >>> SumReduceLike(axis=1).infer(((2, 3, 4), (3,)), 1)
    ((3,),)

    Reference: `elementwise_ops.h`, SumReduceLikeOp.
    """

    axis: int = -1
    """The axis of the first input at which the second starts; -1 if it matches the last axes."""

    bottom_count: ClassVar[Count] = Count(2)
    accepts: ClassVar[tuple[frozenset[DType], ...]] = (frozenset(("float32", "float64")),)
    no_gradient = (1,)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read `axis` or `axis_str`."""
        return cls(legacy_axis(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit, E103 for an axis that is out of range."""
        legacy_span("SumReduceLike", bottoms[0], bottoms[1], self.axis)
        return bottoms[1:]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        a, b = bottoms
        first, last = legacy_span("SumReduceLike", tuple(a.shape), tuple(b.shape), self.axis)
        summed = [*range(first), *range(last, a.dim())]
        return (a.sum(summed) if summed else a.clone()).reshape(b.shape)
