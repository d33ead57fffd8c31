"""Blobs filled by a rule: ConstantFill, RangeFill, DiagonalFill, Float16ConstantFill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.ir.dims import Shape, differ, text
from netc.ir.dtypes import DType, is_floating
from netc.ir.layer import Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operators import operator
from netc.layers.operators._data_types import check_integer, data_type, torch_type
from netc.layers.operators._filler import FillOperator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_NUMBERS: frozenset[DType] = frozenset(
    ("float32", "float64", "int64", "int32", "int16", "int8", "uint16", "uint8", "bool")
)


def _dtype(operator: Operator, accepted: frozenset[DType]) -> DType:
    """The type: `dtype`, else int64 for an integer `value`, float32 for any other. Raises NetcError E103."""
    if "dtype" not in operator and "value" in operator:
        kinds = operator.arguments["value"]
        if "f" in kinds:
            return "float32"
        if "i" in kinds:
            return "int64"
        operator.fail("`value` is not a number, and there is no `dtype`", "value")
    return data_type(operator, "dtype", accepted, names=False)


def _value(operator: Operator, dtype: DType) -> float | int:
    """The number in the field of its type. Raises NetcError E006 for another field, E103 for one out of range."""
    if is_floating(dtype):
        return operator.real("value")
    value = operator.integer("value")
    check_integer(operator, "value", value, dtype)
    return bool(value) if dtype == "bool" else value


@operator("ConstantFill")
@dataclass(frozen=True)
class ConstantFill(FillOperator):
    """A blob of equal elements.

    Without `dtype` an integer `value` makes an int64 blob, any other a float32 one.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended.

    Reference: `filler_op.h`.
    """

    value: float | int | bytes = 0.0
    """The value of each element."""
    dtype: DType = "float32"
    """The type of the elements."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 and E103 for a shape, a type or a value that Caffe2 does not accept."""
        dtype = _dtype(operator, _NUMBERS | {"string"})
        value = operator.raw("value") if dtype == "string" else _value(operator, dtype)
        return cls(*cls.read_shape(operator), value, dtype)

    @property
    def dtype_of_top(self) -> DType:
        """`dtype`."""
        return self.dtype

    def given(self) -> NDArray[Any] | None:
        """Strings of a given shape; None for numbers, and for strings whose shape an input sets."""
        import numpy as np

        return np.full(self.shape, self.value, object) if self.dtype == "string" else None

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E302 for strings, which tensors do not hold."""
        import torch

        if isinstance(self.value, bytes):
            fail("tensors do not hold strings; `run` returns them as an array", code="E302")
        filled = torch.full(self.extents(bottoms), self.value, dtype=torch_type(self.dtype))
        return self.placed(filled, bottoms, mode)


@operator("Float16ConstantFill")
@dataclass(frozen=True)
class Float16ConstantFill(FillOperator):
    """A float16 blob of equal elements.

    Shapes: `shape`.

    Reference: `half_float_ops.cc`.
    """

    value: float = 0.0
    """The value of each element."""

    bottom_count: ClassVar[Count] = Count(0)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the shape and the value."""
        return cls(*cls.read_shape(operator), operator.real("value"))

    @property
    def dtype_of_top(self) -> DType:
        """float16."""
        return "float16"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return self.placed(torch.full(self.shape, self.value).half(), bottoms, mode)


@operator("RangeFill")
@dataclass(frozen=True)
class RangeFill(FillOperator):
    """The numbers 0, 1, 2, ... in row-major order.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended.

    Reference: `filler_op.h`.
    """

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the shape."""
        return cls(*cls.read_shape(operator))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import math

        import torch

        shape = self.extents(bottoms)
        return self.placed(torch.arange(math.prod(shape)).float().reshape(shape), bottoms, mode)


@operator("DiagonalFill")
@dataclass(frozen=True)
class DiagonalFill(FillOperator):
    """A blob of zeros with `value` on its diagonal, which continues below the square of a tall matrix.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended: 2 axes, or more equal ones.

    Reference: `filler_op.h`.
    """

    value: float | int = 0.0
    """The value on the diagonal."""
    dtype: DType = "float32"
    """The type of the elements."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 and E103 for a shape, a type or a value that Caffe2 does not accept."""
        dtype = _dtype(operator, _NUMBERS)
        return cls(*cls.read_shape(operator), _value(operator, dtype), dtype)

    @property
    def dtype_of_top(self) -> DType:
        """`dtype`."""
        return self.dtype

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for fewer than 2 axes, and for more than 2 that are not equal."""
        (shape,) = super().infer(bottoms, tops)
        if shape is not None:
            _check_diagonal(shape)
        return (shape,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E102 for a shape in the input that has no diagonal."""
        import torch

        shape = self.extents(bottoms)
        _check_diagonal(shape)
        filled = torch.zeros(shape, dtype=torch_type(self.dtype))
        step = shape[1] + 1 if len(shape) == 2 else sum(shape[0] ** axis for axis in range(len(shape)))
        filled.view(-1)[::step] = self.value
        return self.placed(filled, bottoms, mode)


def _check_diagonal(shape: Shape) -> None:
    if len(shape) < 2:
        fail(f"a blob of shape {text(shape)} has no diagonal, expected at least 2 axes", field="shape")
    if len(shape) > 2 and any(differ(extent, shape[0]) for extent in shape):
        fail(f"a blob of shape {text(shape)} has no diagonal, expected equal extents", field="shape")
