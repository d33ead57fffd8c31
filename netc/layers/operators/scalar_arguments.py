"""Functions of one input and numbers that the file gives: Scale, Mod, ReplaceNaN; and IsNaN, NanCheck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._operator_layer import INTEGERS, OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

REALS: frozenset[DType] = frozenset(("float32", "float64"))


@operator("Scale")
@dataclass(frozen=True)
class Scaled(OperatorLayer):
    """`scale` times x.

    Shapes: any, kept.

    >>> Scaled(scale=2.0).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `scale_op.h`.
    """

    scale: float = 1.0
    """The factor."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """One linear function of every element."""
        return "scaled" if self.scale else "computed"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0] * self.scale


@operator("Mod")
@dataclass(frozen=True)
class Mod(OperatorLayer):
    """The remainder of a division of integers.

    Shapes: any, kept.

    >>> Mod(divisor=3).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `mod_op.cc`.
    """

    divisor: int = 0
    """The divisor, not 0."""
    sign_follow_divisor: bool = False
    """Whether the result has the sign of the divisor instead of the dividend's."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (INTEGERS,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    no_gradient = (0,)
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a divisor of 0."""
        if self.divisor == 0:
            fail("`divisor` is 0", code="E103", field="divisor", help="set the argument `divisor`")

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        if self.sign_follow_divisor:
            return bottoms[0].remainder(self.divisor)
        return bottoms[0].fmod(self.divisor)


@operator("ReplaceNaN")
@dataclass(frozen=True)
class ReplaceNaN(OperatorLayer):
    """x, with `value` in place of NaN; Caffe2 has no gradient.

    Shapes: any, kept.

    >>> ReplaceNaN(value=0.5).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `replace_nan_op.h`.
    """

    value: float = 0.0
    """What replaces NaN."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (REALS,)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].masked_fill(bottoms[0].isnan(), self.value)


@operator("IsNaN")
@dataclass(frozen=True)
class IsNaN(OperatorLayer):
    """1 where x is NaN, 0 elsewhere.

    Shapes: any, kept; integers (uint8).

    >>> IsNaN().dtypes(("float32",), 1)
    ('uint8',)

    Reference: `utility_ops.h`, IsNanOp.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (REALS,)
    no_gradient = (0,)
    sees: ClassVar[Sees] = "place"

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Bytes."""
        self.check_dtypes(bottoms)
        return ("uint8",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].isnan().byte()


@operator("NanCheck")
@dataclass(frozen=True)
class NanCheck(OperatorLayer):
    """X, which must be finite; Caffe2 shows the further inputs when it is not.

    Shapes: X, any others to X.

    >>> NanCheck().infer(((2, 3), (4,)), 1)
    ((2, 3),)

    Reference: `utility_ops.cc`, NanCheckOp.
    """

    bottom_count: ClassVar[Count] = Count(1, None)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """That of X."""
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for values that are NaN or infinite."""
        x = bottoms[0]
        if mode.check is not None:
            mode.check(x, ~x.isfinite(), "a value that is not finite")
        return x.clone()
