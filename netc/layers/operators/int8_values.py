"""Quantized blobs from real numbers or the file, and back: Int8Quantize, Int8Dequantize, Int8GivenTensorFill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import NetcError, counted
from netc.ir.dims import Shape, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, DTypes, Mode, Shapes
from netc.ir.operator import Operator
from netc.ir.quantization import Quantization
from netc.layers._operator_layer import FLOAT, OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._quantized import QuantizedOperator, read_quantization

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@operator("Int8Quantize")
@dataclass(frozen=True)
class Int8Quantize(QuantizedOperator):
    """Real numbers divided by the scale, rounded, halves to even, plus the zero point, from 0 to 255.

    Shapes: any, kept; float32 to uint8.

    Reference: `int8_quantize_op.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (FLOAT,)
    quantized_inputs: ClassVar[int | None] = 0
    bottom_count: ClassVar[Count] = Count(1)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.requantization import stored

        return stored((bottoms[0].detach() / self.quantization.scale).round(), self.quantization.zero_point)


@operator("Int8Dequantize")
@dataclass(frozen=True)
class Int8Dequantize(QuantizedOperator):
    """The real numbers of a quantized blob.

    Shapes: any, kept; uint8 to float32.

    Reference: `int8_dequantize_op.h`.
    """

    quantization: Quantization | None = None  # type: ignore[assignment,misc]
    """None: the output is not quantized."""

    bottom_count: ClassVar[Count] = Count(1)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """There are no arguments."""
        return cls(operator.type)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """float32."""
        self.check_dtypes(bottoms)
        return ("float32",)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        source = self.source()
        return (bottoms[0].int() - source.zero_point).float() * source.scale


@operator("Int8GivenTensorFill", "Int8GivenIntTensorFill")
@dataclass(frozen=True)
class Int8GivenTensor(OperatorLayer):
    """The integers that the file lists: bytes of a string, or numbers of type int32 (Int8GivenIntTensorFill).

    Shapes: as declared.

    Reference: `int8_given_tensor_fill_op.h`.
    """

    quantization: Quantization = field(default_factory=Quantization)  # type: ignore[misc]
    """The scale and zero point."""
    shape: Shape = ()
    """The shape."""
    dtype: DType = "uint8"
    """The type."""
    values: Any = field(default=(), compare=False, repr=False)
    """The integers, as they were read."""

    bottom_count: ClassVar[Count] = Count(0)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for a negative extent, E105 unless there is one value for each element."""
        of_bytes = operator.type == "Int8GivenTensorFill"
        shape = operator.integers("shape")
        values = operator.raw("values") if of_bytes else operator.array("values", "ints")
        if any(extent < 0 for extent in shape):
            operator.fail(f"`shape` {text(shape)} has a negative extent", "shape")
        if product(shape) != len(values):
            raise NetcError(
                f"{counted(len(values), 'value')} for a blob of shape {text(shape)}, expected {product(shape)}",
                code="E105",
                field="values",
            )
        return cls(read_quantization(operator, of_bytes=of_bytes), shape, "uint8" if of_bytes else "int32", values)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The declared shape."""
        return (self.shape,)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """uint8 or int32."""
        return (self.dtype,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: values are copied."""
        return Cost()

    def given(self) -> NDArray[Any]:
        """The values in the declared shape."""
        import numpy as np

        flat = np.frombuffer(self.values, np.uint8) if self.dtype == "uint8" else np.asarray(self.values, np.int32)
        return flat.reshape(self.shape)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return torch.from_numpy(self.given().copy())
