"""Functions of one input that are computed element by element, without arguments of their own: Abs, Exp, Log, ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from netc.ir.dtypes import DType
from netc.ir.layer import Mode
from netc.ir.traits import Sees
from netc.layers._operator_layer import FLOAT, NUMBERS, TypedOperator
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


class _Function(NamedTuple):
    method: str
    """The method of a tensor that computes the function."""
    in_place: bool = False
    """Whether Caffe2 allows the output to overwrite the input."""
    reads_top: bool = False
    """Whether torch's backward pass reads the result."""
    accepts: frozenset[DType] = FLOAT


_FUNCTIONS: Mapping[str, _Function] = {
    "Abs": _Function("abs"),
    "Acos": _Function("acos"),
    "Asin": _Function("asin"),
    "Atan": _Function("atan"),
    "Ceil": _Function("ceil", in_place=True),
    "Cos": _Function("cos"),
    "Cosh": _Function("cosh"),
    "Erf": _Function("erf"),
    "Exp": _Function("exp", in_place=True, reads_top=True),
    "Floor": _Function("floor", in_place=True),
    "Log": _Function("log", in_place=True),
    "Negative": _Function("neg", in_place=True, accepts=NUMBERS),
    "Not": _Function("logical_not", accepts=frozenset(("bool",))),
    "Reciprocal": _Function("reciprocal", in_place=True, reads_top=True),
    "Rsqrt": _Function("rsqrt", in_place=True, reads_top=True),
    "Sign": _Function("sign", accepts=NUMBERS),
    "Sin": _Function("sin"),
    "Sinh": _Function("sinh"),
    "Sqr": _Function("square", in_place=True),
    "Sqrt": _Function("sqrt", in_place=True, reads_top=True),
    "Tan": _Function("tan", reads_top=True),
}


@operator(
    "Abs",
    "Acos",
    "Asin",
    "Atan",
    "Ceil",
    "Cos",
    "Cosh",
    "Erf",
    "Exp",
    "Floor",
    "Log",
    "Negative",
    "Not",
    "Reciprocal",
    "Rsqrt",
    "Sign",
    "Sin",
    "Sinh",
    "Sqr",
    "Sqrt",
    "Tan",
)
@dataclass(frozen=True)
class ElementwiseFunction(TypedOperator):
    """The function of the operator's name: `Sqr` is the square, `Rsqrt` 1 / sqrt(x).

    The gradient of Ceil, Floor and Sign is 0; Caffe2 has none.

    Shapes: any, kept.

    >>> ElementwiseFunction("Exp").infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `exp_op.cc` and so on, `elementwise_ops.cc`.
    """

    sees: ClassVar[Sees] = "place"

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """Numbers for Negative and Sign, Booleans for Not, float32 for the others."""
        return (_FUNCTIONS[self.type].accepts,)

    @property
    def in_place_pairs(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        """As the schema of the operator says."""
        return ((0, 0),) if _FUNCTIONS[self.type].in_place else ()

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Unless torch's backward pass reads the result."""
        return not _FUNCTIONS[self.type].reads_top

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        y: Tensor = getattr(bottoms[0], _FUNCTIONS[self.type].method)()
        return y


@operator("Cube")
@dataclass(frozen=True)
class Cube(TypedOperator):
    """x^3.

    Shapes: any, kept.

    Reference: `cube_op.cc`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS,)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0] ** 3


@operator("Cbrt")
@dataclass(frozen=True)
class Cbrt(TypedOperator):
    """The cube root y, negative for negative x; its gradient is 1 / (3 y^2).

    Shapes: any, kept.

    Reference: `cbrt_op.cc`.
    """

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.top_gradient import from_top

        return from_top(bottoms[0], lambda x: x.sign() * x.abs() ** (1 / 3), lambda dy, y: dy / (3 * y.square()))
