"""Blobs filled at random, with torch's default generator: UniformFill, GaussianFill, XavierFill and others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import UNKNOWN, Shape, differ, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import INTEGERS
from netc.layers._operators import operator
from netc.layers.operators._data_types import RANGES, check_integer, data_type, torch_type
from netc.layers.operators._filler import FillOperator

if TYPE_CHECKING:
    from torch import Tensor


def _check_bounds(operator: Operator, low: float, high: float, dtype: DType) -> None:
    """Raise NetcError E103 unless `min` is below `max`, and the range is one that numbers can be drawn from."""
    if not low < high:
        operator.fail(f"`min: {low}` is not below `max: {high}`", "max")
    if dtype == "float32":
        largest = 3.4028234663852886e38
    else:
        check_integer(operator, "min", int(low), dtype)
        check_integer(operator, "max", int(high), dtype)
        largest = RANGES["int64"][1] - 1
    if high - low > largest:
        operator.fail(f"the range from `min: {low}` to `max: {high}` is too large", "max")


@operator("UniformFill", "UniformIntFill")
@dataclass(frozen=True)
class UniformFill(FillOperator):
    """Numbers from `min` to `max`, equally distributed: real ones below `max`, or integers up to it.

    Instead of the arguments the second and third input may hold the bounds; if the first is then larger than the
    second, the output has no items.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended.

    Reference: `filler_op.h`.
    """

    min: float | int = 0.0
    """The lower bound."""
    max: float | int = 1.0
    """The upper bound."""
    integers: bool = False
    """Whether the numbers are integers."""

    bottom_count: ClassVar[Count] = Count(0, 3)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for bounds in arguments and inputs, E103 unless `min` is below `max`."""
        integers = operator.type == "UniformIntFill"
        shape = cls.read_shape(operator)
        if len(operator.inputs) == 2:
            operator.fail("the input of `min` comes with one of `max`", code="E101")
        if len(operator.inputs) == 3:
            for argument in ("min", "max"):
                if argument in operator:
                    operator.fail(f"an input and an argument set `{argument}`", argument, code="E101")
            return cls(*shape, integers=integers)
        low: float | int
        high: float | int
        if integers:
            low, high = operator.integer("min", 0), operator.integer("max", 1)
        else:
            low, high = operator.real("min", 0.0), operator.real("max", 1.0)
        _check_bounds(operator, low, high, "int32" if integers else "float32")
        return cls(*shape, low, high, integers)

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """Bounds have the type of the output."""
        return *super().accepts, frozenset((self.dtype_of_top,))

    @property
    def dtype_of_top(self) -> DType:
        """int32 or float32."""
        return "int32" if self.integers else "float32"

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for a bound that is not one number."""
        for index, bound in enumerate(bottoms[1:], 1):
            if differ(product(bound), 1):
                fail(f"input {index} has shape {text(bound)}, expected one element", field="input")
        (shape,) = super().infer(bottoms[:1], tops)
        return ((UNKNOWN, *shape[1:]) if shape and len(bottoms) == 3 else shape,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        shape = self.extents(bottoms[:1])
        low, high = (bottoms[1].item(), bottoms[2].item()) if len(bottoms) == 3 else (self.min, self.max)
        if low > high:
            filled = torch.zeros((0, *shape[1:]), dtype=torch_type(self.dtype_of_top))
        elif self.integers:
            filled = torch.randint(int(low), int(high) + 1, shape, dtype=torch.int32)
        else:
            filled = torch.empty(shape).uniform_(low, high)
        return self.placed(filled, bottoms, mode)


@operator("Float16UniformFill")
@dataclass(frozen=True)
class Float16UniformFill(FillOperator):
    """Numbers from `min` to `max`, equally distributed, as float16.

    Shapes: `shape`.

    Reference: `half_float_ops.cc`.
    """

    min: float = 0.0
    """The lower bound."""
    max: float = 1.0
    """The upper bound."""

    bottom_count: ClassVar[Count] = Count(0)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless `min` is below `max`."""
        low, high = operator.real("min", 0.0), operator.real("max", 1.0)
        _check_bounds(operator, low, high, "float32")
        return cls(*cls.read_shape(operator), low, high)

    @property
    def dtype_of_top(self) -> DType:
        """float16."""
        return "float16"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return self.placed(torch.empty(self.shape).uniform_(self.min, self.max).half(), bottoms, mode)


@operator("GaussianFill")
@dataclass(frozen=True)
class GaussianFill(FillOperator):
    """Normally distributed numbers.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended.

    Reference: `filler_op.h`.
    """

    mean: float = 0.0
    """The mean."""
    std: float = 1.0
    """The standard deviation."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a negative `std`."""
        std = operator.real("std", 1.0)
        if not std >= 0:
            operator.fail(f"`std: {std}` is negative", "std")
        return cls(*cls.read_shape(operator), operator.real("mean", 0.0), std)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return self.placed(torch.empty(self.extents(bottoms)).normal_(self.mean, self.std), bottoms, mode)


@operator("XavierFill", "MSRAFill")
@dataclass(frozen=True)
class FanFill(FillOperator):
    """Numbers whose spread follows from the shape.

    XavierFill: equally distributed from -sqrt(3 / fan_in) to sqrt(3 / fan_in), where fan_in is the number of elements
    by the first extent. MSRAFill: normally distributed with the standard deviation sqrt(2 / fan_out), where fan_out is
    the number of elements by the second extent.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended.

    Reference: `filler_op.h`.
    """

    normal: bool = False
    """Whether the numbers are normally distributed, as those of MSRAFill are."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the shape, and the distribution from the type."""
        return cls(*cls.read_shape(operator), operator.type == "MSRAFill")

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for a shape without the axis that the spread depends on."""
        (shape,) = super().infer(bottoms, tops)
        if shape is not None and len(shape) < 1 + self.normal:
            axes = "2 axes" if self.normal else "1 axis"
            fail(f"a blob of shape {text(shape)} has no fan, expected at least {axes}", field="shape")
        return (shape,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        filled = torch.empty(self.extents(bottoms))
        fan = filled.numel() // max(filled.shape[int(self.normal)], 1)
        if fan and self.normal:
            filled.normal_(0.0, math.sqrt(2 / fan))
        elif fan:
            filled.uniform_(-math.sqrt(3 / fan), math.sqrt(3 / fan))
        return self.placed(filled, bottoms, mode)


@operator("UniqueUniformFill")
@dataclass(frozen=True)
class UniqueUniformFill(FillOperator):
    """Different integers from `min` to `max`, inclusive, in random order, without those in the second input.

    Shapes: `shape`, or an input's shape or the one it holds, with `extra_shape` appended; optionally any number of
    different integers to avoid.

    Reference: `filler_op.h`.
    """

    min: int = 0
    """The smallest number."""
    max: int = 0
    """The largest number."""
    dtype: DType = "int32"
    """The type, int32 or int64."""

    bottom_count: ClassVar[Count] = Count(0, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 without `min` or `max`, E103 unless `min` is below `max`."""
        operator.require("min")
        operator.require("max")
        low, high = operator.integer("min"), operator.integer("max")
        dtype = data_type(operator, "dtype", INTEGERS, "int32", names=False)
        _check_bounds(operator, low, high, dtype)
        return cls(*cls.read_shape(operator), low, high, dtype)

    @property
    def accepts(self) -> tuple[frozenset[DType], ...]:  # type: ignore[override]
        """The numbers to avoid have the type of the output."""
        return *super().accepts, frozenset((self.dtype,))

    @property
    def dtype_of_top(self) -> DType:
        """`dtype`."""
        return self.dtype

    def infer(self, bottoms: Shapes, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for more elements than there are numbers."""
        (shape,) = super().infer(bottoms[:1], tops)
        avoided = product(bottoms[1]) if len(bottoms) > 1 else 0
        if shape is not None and product(shape) > self.max - self.min + 1 - avoided:
            fail(f"there are fewer different numbers than {text(shape)} has elements", field="shape")
        return (shape,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E102 for more elements than there are numbers."""
        import torch

        shape, count = self.extents(bottoms[:1]), self.max - self.min + 1
        size = math.prod(shape)
        avoided = bottoms[1].long().flatten().cpu() if len(bottoms) > 1 else torch.zeros(0).long()
        if size > count - len(avoided):
            fail(f"there are fewer different numbers than {text(shape)} has elements", field="shape")
        found = torch.zeros(0, dtype=torch.int64)
        while len(found) < size:
            drawn = _different(self.min, count, 2 * (size + len(avoided)))
            drawn = drawn[~torch.isin(drawn, torch.cat([found, avoided]))]
            found = torch.cat([found, drawn])
        return self.placed(found[:size].reshape(shape).to(torch_type(self.dtype)), bottoms, mode)


def _different(low: int, count: int, size: int) -> Tensor:
    """Different integers out of `count` from `low`, in random order: all of them if `size` is not far below."""
    import torch

    if count <= 4 * size:
        return low + torch.randperm(count)
    drawn: Tensor = torch.unique(torch.randint(low, low + count, (size,)))
    order = torch.randperm(len(drawn))
    return drawn.index_select(0, order)
