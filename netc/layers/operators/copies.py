"""Operators that copy their input, in another type or without gradient: Copy, StopGradient, Cast and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Elements, Sees
from netc.layers._operator_layer import ANY, FLOAT, OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._data_types import data_type, torch_type

if TYPE_CHECKING:
    from torch import Tensor

_CAST: frozenset[DType] = frozenset(
    ("float32", "float64", "int64", "int32", "int16", "int8", "uint16", "uint8", "bool")
)


@operator("Copy", "Alias", "CopyFromCPUInput", "EnsureCPUOutput", "CopyCPUToGPU", "CopyGPUToCPU")
@dataclass(frozen=True)
class Copy(OperatorLayer):
    """The input: the net is on one device.

    Shapes: any, kept.

    Reference: `copy_op.h`, `ensure_cpu_output_op.h`, `utility_ops.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (ANY,)
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0]


@operator("CopyOnDeviceLike")
@dataclass(frozen=True)
class CopyOnDeviceLike(Copy):
    """The first input: the net is on one device.

    Shapes: any, any to that of the first.

    Reference: `copy_op.h`.
    """

    bottom_count: ClassVar[Count] = Count(2)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The shape of the first input."""
        return bottoms[:1]


@operator("EnsureDense")
@dataclass(frozen=True)
class EnsureDense(Copy):
    """The input: gradients are dense.

    Shapes: at least 1 axis, kept.

    Reference: `utility_ops.h`.
    """

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a scalar."""
        if not bottoms[0]:
            fail("`EnsureDense` expects at least 1 axis, got a scalar", field="input")
        return bottoms


@operator("StopGradient")
@dataclass(frozen=True)
class StopGradient(Copy):
    """The input, which receives no gradient.

    Shapes: any, kept.

    Reference: `stop_gradient.cc`.
    """

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    no_gradient: ClassVar[tuple[int, ...]] = (0,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].detach()


@operator("Cast")
@dataclass(frozen=True)
class Cast(OperatorLayer):
    """The input in the type `to`. Real numbers become integers by truncation, and true unless they are 0.

    Shapes: any, kept.

    Reference: `cast_op.h`, `cast.h`.
    """

    to: DType = "float32"
    """The type."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (_CAST,)
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a type that Caffe2's version for the CPU does not support."""
        return cls(data_type(operator, "to", _CAST))

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """The type `to`."""
        self.check_dtypes(bottoms)
        return (self.to,)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].to(torch_type(self.to))


@operator("FloatToHalf")
@dataclass(frozen=True)
class FloatToHalf(OperatorLayer):
    """The input as float16, beyond its largest number infinite or, with `clip`, that number.

    Shapes: any, kept.

    Reference: `half_float_ops.h`.
    """

    clip: bool = False
    """Whether to clip to the range of float16."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT,)
    sees: ClassVar[Sees] = "place"

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float16."""
        self.check_dtypes(bottoms)
        return ("float16",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0].clamp(-65504.0, 65504.0) if self.clip else bottoms[0]
        return x.half()


@operator("HalfToFloat")
@dataclass(frozen=True)
class HalfToFloat(OperatorLayer):
    """The float16 input as float32.

    Shapes: any, kept.

    Reference: `half_float_ops.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (frozenset(("float16",)),)
    sees: ClassVar[Sees] = "place"

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].float()
