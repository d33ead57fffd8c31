"""Operators whose output is in the file: GivenTensorFill and its variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import NetcError, counted
from netc.ir.dims import Shape, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode, Shapes
from netc.ir.operator import Kind, Operator
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_TYPES: dict[str, tuple[DType, Kind]] = {
    "GivenTensorFill": ("float32", "floats"),
    "GivenTensorDoubleFill": ("float64", "floats"),
    "GivenTensorIntFill": ("int32", "ints"),
    "GivenTensorInt64Fill": ("int64", "ints"),
    "GivenTensorInt16Fill": ("int16", "ints"),
    "GivenTensorBoolFill": ("bool", "ints"),
}


@operator(
    "GivenTensorFill",
    "GivenTensorDoubleFill",
    "GivenTensorIntFill",
    "GivenTensorInt64Fill",
    "GivenTensorInt16Fill",
    "GivenTensorBoolFill",
)
@dataclass(frozen=True)
class GivenTensor(OperatorLayer):
    """The values that the file lists, in row-major order.

    Shapes: as declared.

    Reference: `given_tensor_fill_op.h`.
    """

    shape: Shape = ()
    dtype: DType = "float32"
    values: Any = field(default=(), compare=False, repr=False)
    """The numbers, as they were read."""

    bottom_count: ClassVar[Count] = Count(0)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E105 unless there are as many values as the shape has elements."""
        dtype, kind = _TYPES[operator.type]
        shape, values = operator.integers("shape"), operator.array("values", kind)
        if any(extent < 0 for extent in shape):
            operator.fail(f"`shape` {text(shape)} has a negative extent", "shape")
        if product(shape) != len(values):
            raise NetcError(
                f"{counted(len(values), 'value')} for a blob of shape {text(shape)}, expected {product(shape)}",
                code="E105",
                field="values",
            )
        return cls(shape, dtype, values)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The declared shape."""
        return (self.shape,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type of the variant."""
        return (self.dtype,)

    def given(self) -> NDArray[Any] | None:
        """The values in the declared shape; floats are a view of what was read."""
        import numpy as np

        return np.asarray(self.values, dtype=self.dtype).reshape(self.shape)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        array = self.given()
        assert array is not None
        return torch.from_numpy(array.copy())
