"""Operators whose output is in the file: GivenTensorFill and its variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, product, text
from netc.ir.dtypes import DType, is_floating
from netc.ir.layer import Cost, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operators import operator
from netc.layers.operators._data_types import check_integer, data_type
from netc.layers.operators._filler import FillOperator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_TYPES: dict[str, DType] = {
    "GivenTensorFill": "float32",
    "GivenTensorDoubleFill": "float64",
    "GivenTensorIntFill": "int32",
    "GivenTensorInt64Fill": "int64",
    "GivenTensorInt16Fill": "int16",
    "GivenTensorBoolFill": "bool",
    "GivenTensorStringFill": "string",
    "GivenTensorByteStringToUInt8Fill": "uint8",
}
_CHOSEN: frozenset[DType] = frozenset(("float32", "float64", "bool", "uint16", "int16", "int32", "int64", "string"))
"""The types that `dtype` of GivenTensorFill may name."""


@operator(
    "GivenTensorFill",
    "GivenTensorDoubleFill",
    "GivenTensorIntFill",
    "GivenTensorInt64Fill",
    "GivenTensorInt16Fill",
    "GivenTensorBoolFill",
    "GivenTensorStringFill",
    "GivenTensorByteStringToUInt8Fill",
)
@dataclass(frozen=True)
class GivenTensor(FillOperator):
    """The values that the file lists, in row-major order.

    GivenTensorFill has the type that its argument `dtype` names, if it is set. The numbers of
    GivenTensorByteStringToUInt8Fill are the bytes of one string. Tensors do not hold strings: a net's `run` returns
    those that the file gives, but no operator can read them.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended.

    Reference: `given_tensor_fill_op.h`, `given_tensor_byte_string_to_uint8_fill_op.h`.
    """

    dtype: DType = "float32"
    """The type of the elements."""
    values: Any = field(default=(), compare=False, repr=False)
    """The numbers, as they were read, or strings as bytes."""
    shaped_by_input: bool = False
    """Whether the shape is that of an input, or the one it holds."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E105 unless there are as many values as the shape has elements."""
        shape = cls.read_shape(operator)
        dtype = _TYPES[operator.type]
        if operator.type == "GivenTensorFill":
            dtype = data_type(operator, "dtype", _CHOSEN)
        layer = cls(*shape, dtype, _values(operator, dtype), bool(operator.inputs))
        if not layer.shaped_by_input:
            layer.check_count(layer.shape)
        return layer

    @property
    def dtype_of_top(self) -> DType:
        """`dtype`."""
        return self.dtype

    def check_count(self, shape: Shape) -> None:
        """Raise NetcError E105 unless there are as many values as a shape has elements."""
        if differ(product(shape), len(self.values)):
            values = counted(len(self.values), "value")
            fail(f"{values} for a blob of shape {text(shape)}, expected {product(shape)}", code="E105", field="values")

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E105 for an input with another number of elements."""
        (shape,) = super().infer(bottoms, tops)
        if bottoms and shape is not None:
            self.check_count(shape)
        return (shape,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def given(self) -> NDArray[Any] | None:
        """The values in the declared shape; floats are a view of what was read. None if an input sets the shape."""
        return None if self.shaped_by_input else self._array(self.shape)

    def _array(self, shape: Shape) -> NDArray[Any]:
        import numpy as np

        return np.asarray(self.values, object if self.dtype == "string" else self.dtype).reshape(shape)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E302 for strings, which tensors do not hold, E105 for another number of values."""
        import torch

        if self.dtype == "string":
            fail("tensors do not hold strings; `run` returns them as an array", code="E302")
        shape = self.extents(bottoms)
        self.check_count(shape)
        return self.placed(torch.from_numpy(self._array(shape).copy()), bottoms, mode)


def _values(operator: Operator, dtype: DType) -> Any:
    """The values in the field of their type."""
    if operator.type == "GivenTensorByteStringToUInt8Fill":
        data_type(operator, "dtype", frozenset(("string",)))
        strings = operator.strings("values")
        if len(strings) != 1:
            operator.fail(f"`values` has {counted(len(strings), 'string')}, expected one", "values", code="E105")
        return tuple(strings[0])
    if dtype == "string":
        return operator.strings("values")
    if is_floating(dtype):
        return operator.array("values", "floats")
    integers = operator.array("values", "ints")
    for value in (min(integers), max(integers)) if len(integers) else ():
        check_integer(operator, "values", int(value), dtype)
    return integers
