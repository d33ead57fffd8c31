"""Products of quantized blobs with filters and matrices: Int8Conv, Int8ConvRelu, Int8ConvTranspose, Int8FC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Count, Mode, fail
from netc.ir.quantization import Quantization
from netc.layers._operators import operator
from netc.layers.operators._quantized import BYTES, OfPlainOperator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Int8Conv", "Int8ConvRelu", "Int8ConvTranspose", "Int8FC")
@dataclass(frozen=True)
class Int8Product(OfPlainOperator):
    """The operator of the name without `Int8` in exact integers, then scaled to the output's scale and rounded.

    With `Relu` the output is at least the zero point.

    Shapes: as of real numbers, in the order NHWC: X and W of type uint8, b of type int32 and in units of the product of
    their scales, to uint8.

    Reference: `int8_conv_op.h`, `int8_conv_transpose_op.h`, `int8_fc_op.h`, and QNNPACK's `requantization.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (BYTES, BYTES, frozenset(("int32",)))
    bottom_count: ClassVar[Count] = Count(3)

    def quantized_by(self, sources: Sequence[Quantization | None]) -> Self:
        """Raises NetcError E107 for an input that is not quantized, E103 for scales that QNNPACK does not support."""
        layer = super().quantized_by(sources)
        if len(sources) == 3 and not 2**-32 <= layer.ratio < 1:
            fail(
                f"the product of the inputs' scales is {layer.ratio:g} times `Y_scale`, and must be less than 1",
                code="E103",
                field="Y_scale",
            )
        return layer

    @property
    def ratio(self) -> float:
        """The product of the inputs' scales in units of the output's, in float32."""
        import numpy as np

        x, w, y = (np.float32(one.scale) for one in (self.source(0), self.source(1), self.quantization))
        return float(x * w / y)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.requantization import scaled, stored

        x, w, b = bottoms
        sums = self.real_output((self.real(x), self.real(w, 1), b.double()), mode).long()
        zero = self.quantization.zero_point
        return stored(scaled(sums, self.ratio), zero, zero if self.type.endswith("Relu") else 0)
