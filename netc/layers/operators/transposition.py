"""The axes of an input in another order: Transpose, NCHW2NHWC, NHWC2NCHW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Elements
from netc.layers._operator_layer import NUMBERS, OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Transpose")
@dataclass(frozen=True)
class TransposeOperator(OperatorLayer):
    """The input with its axes in the order `axes`, by default reversed.

    Shapes: (n_0, ..., n_k) to (n_axes[0], ..., n_axes[k]).

    Reference: `transpose_op.h`.
    """

    axes: tuple[int, ...] = ()
    """The axis of the input at each axis of the output; empty means reversed."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (NUMBERS,)
    elements: ClassVar[Elements] = "moved"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless `axes` is a permutation."""
        axes = operator.integers("axes")
        if sorted(axes) != list(range(len(axes))):
            operator.fail(f"`axes` {text(axes)} is not a permutation of the axes from 0", "axes")
        return cls(axes)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an input with another number of axes."""
        x = bottoms[0]
        if self.axes and len(self.axes) != len(x):
            fail(f"`axes` {text(self.axes)} has {len(self.axes)} axes, the input {text(x)} has {len(x)}", field="axes")
        return (tuple(x[axis] for axis in self.axes) if self.axes else x[::-1],)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        return x.permute(self.axes or tuple(range(x.dim()))[::-1])


@operator("NCHW2NHWC", "NHWC2NCHW")
@dataclass(frozen=True)
class ChannelMove(OperatorLayer):
    """The input with its channels moved from axis 1 to the end, or from the end to axis 1.

    Shapes: NCHW2NHWC (n, c, ...) to (n, ..., c); NHWC2NCHW (n, ..., c) to (n, c, ...).

    Reference: `order_switch_ops.h`.
    """

    to_end: bool = True
    """Whether the channels are moved to the end."""

    elements: ClassVar[Elements] = "moved"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the direction from the type."""
        return cls(operator.type == "NCHW2NHWC")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for fewer than 3 axes."""
        x = bottoms[0]
        if len(x) < 3:
            fail(f"expected an input with at least 3 axes, got {text(x)}", field="input")
        return ((x[0], *x[2:], x[1]) if self.to_end else (x[0], x[-1], *x[1:-1]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].movedim(1, -1) if self.to_end else bottoms[0].movedim(-1, 1)
