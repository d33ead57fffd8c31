"""Poolings of quantized blobs: Int8MaxPool, Int8AveragePool, and both followed by a rectifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Count, Mode, Shapes
from netc.layers._operator_layer import check_axes
from netc.layers._operators import operator
from netc.layers.operators._quantized import OfPlainOperator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Int8MaxPool", "Int8MaxPoolRelu")
@dataclass(frozen=True)
class Int8MaxPool(OfPlainOperator):
    """The maximum of each window; with `Relu` at least the zero point.

    Shapes: (n, h, w, c) to (n, oh, ow, c), as of real numbers.

    Reference: `int8_max_pool_op.h`.
    """

    keeps_quantization: ClassVar[bool] = True
    bottom_count: ClassVar[Count] = Count(1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input has 4 axes, and as the operator of real numbers does."""
        check_axes(self.type, bottoms[0], 4)
        return super().infer(bottoms, tops)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        y = self.real_output((bottoms[0].float(),), mode).byte()
        return y.clamp(min=self.quantization.zero_point) if self.type.endswith("Relu") else y


@operator("Int8AveragePool", "Int8AveragePoolRelu")
@dataclass(frozen=True)
class Int8AveragePool(OfPlainOperator):
    """The mean of each window, scaled to the output's scale and rounded; with `Relu` at least the zero point.

    The sum of a window is divided by the size of the kernel; padding is 0.

    Shapes: (n, h, w, c) to (n, oh, ow, c), as of real numbers.

    Reference: `int8_average_pool_op.h`, and QNNPACK's `average-pooling.c` and `global-average-pooling.c`.
    """

    bottom_count: ClassVar[Count] = Count(1)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input has 4 axes, and as the operator of real numbers does."""
        check_axes(self.type, bottoms[0], 4)
        return super().infer(bottoms, tops)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import numpy as np
        import torch.nn.functional as F

        from netc.functions.requantization import averaged, stored

        x = self.real(bottoms[0]).permute(0, 3, 1, 2)
        plain: Any = self.plain
        kernel = tuple(x.shape[2:]) if plain.global_pooling else plain.kernel
        stride = (1, 1) if plain.global_pooling else plain.stride
        if not plain.global_pooling:
            vertical, horizontal = plain.frames(tuple(x.shape[2:]))
            x = F.pad(x, (horizontal.head, horizontal.tail, vertical.head, vertical.tail))
        sums = F.avg_pool2d(x, kernel, stride, divisor_override=1).round().long()
        size, source, zero = product(kernel), self.source(), self.quantization.zero_point
        ratio = float(np.float32(source.scale) / (np.float32(self.quantization.scale) * np.float32(size)))
        y = stored(averaged(sums, ratio), zero, zero if self.type.endswith("Relu") else 0)
        return y.permute(0, 2, 3, 1).contiguous()
