"""What is known of a blob without its values: Shape, Size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import Shape
from netc.ir.dtypes import DType
from netc.ir.layer import DTypes, Mode, Shapes, fail
from netc.layers._operator_layer import ANY, OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Shape")
@dataclass(frozen=True)
class ShapeOf(OperatorLayer):
    """The extents of the input, or of its `axes`.

    Shapes: k axes to (k), or (the number of `axes`).

    Reference: `shape_op.h`.
    """

    axes: tuple[int, ...] = ()
    """The axes; empty means all."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        x = bottoms[0]
        for axis in self.axes:
            if not 0 <= axis < len(x):
                fail(f"`axes` has {axis}, which is out of range for {len(x)} axes", code="E103", field="axes")
        return ((len(self.axes) or len(x),),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """int64."""
        return ("int64",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        return torch.tensor([x.shape[axis] for axis in self.axes or range(x.dim())], device=x.device).long()


@operator("Size")
@dataclass(frozen=True)
class Size(OperatorLayer):
    """The number of elements of the input.

    Shapes: any to ().

    Reference: `utility_ops.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape]:
        """A scalar."""
        return ((),)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """int64."""
        return ("int64",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return torch.tensor(bottoms[0].numel(), device=bottoms[0].device)
