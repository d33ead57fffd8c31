"""Sums and functions of quantized blobs: Int8Add, Int8Sum, Int8Relu, Int8LeakyRelu, Int8Sigmoid, Int8Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import product
from netc.ir.layer import Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.quantization import Quantization
from netc.layers._operator_layer import check_shape
from netc.layers._operators import operator
from netc.layers.operators._quantized import QuantizedOperator, read_quantization

if TYPE_CHECKING:
    from torch import Tensor


@operator("Int8Add", "Int8AddRelu", "Int8Sum", "Int8SumRelu")
@dataclass(frozen=True)
class Int8Add(QuantizedOperator):
    """The sum of two blobs, scaled to the output's scale and rounded; with `Relu` at least the zero point.

    Shapes: any, the same for both, kept.

    Reference: `int8_add_op.h`, and QNNPACK's `requantization.h`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 0))

    def quantized_by(self, sources: Sequence[Quantization | None]) -> Self:
        """Raises NetcError E107 for an input that is not quantized, E103 for scales that QNNPACK does not support."""
        layer = super().quantized_by(sources)
        if len(sources) == 2 and not all(2**-10 <= ratio < 2**8 for ratio in layer.ratios):
            fail("the inputs' scales must be 1/1024 to 256 times `Y_scale`", code="E103", field="Y_scale")
        return layer

    @property
    def ratios(self) -> tuple[float, float]:
        """The inputs' scales in units of the output's, in float32."""
        import numpy as np

        a, b, y = (np.float32(one.scale) for one in (self.source(0), self.source(1), self.quantization))
        return float(a / y), float(b / y)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for different shapes."""
        check_shape(self.type, bottoms[1], bottoms[0], 1)
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.requantization import added, stored

        zero = self.quantization.zero_point
        first, second = (self.real(x, index).long() for index, x in enumerate(bottoms))
        sums = added(first, second, self.ratios)
        return stored(sums, zero, zero if self.type.endswith("Relu") else 0)


@operator("Int8Relu")
@dataclass(frozen=True)
class Int8Relu(QuantizedOperator):
    """The larger of each element and the zero point.

    Shapes: any, kept.

    Reference: `int8_relu_op.h`.
    """

    keeps_quantization: ClassVar[bool] = True
    bottom_count: ClassVar[Count] = Count(1)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].clamp(min=self.quantization.zero_point)


@operator("Int8LeakyRelu")
@dataclass(frozen=True)
class Int8LeakyRelu(QuantizedOperator):
    """Negative numbers multiplied by `alpha`.

    Shapes: any, kept.

    Reference: `int8_leaky_relu_op.h`, and QNNPACK's `leaky-relu.c`.
    """

    alpha: float = 0.01
    """The factor."""

    bottom_count: ClassVar[Count] = Count(1)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 unless `alpha` is between 0 and 1."""
        alpha = operator.real("alpha", 0.01)
        if not 0 < alpha < 1:
            operator.fail(f"`alpha: {alpha:g}` must be between 0 and 1", "alpha")
        return cls(operator.type, read_quantization(operator), alpha=alpha)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.requantization import leaky_table, looked_up

        x, y = self.source(), self.quantization
        return looked_up(bottoms[0], leaky_table(self.alpha, x.scale / y.scale, (x.zero_point, y.zero_point)))


@dataclass(frozen=True)
class _OfUnitScale(QuantizedOperator):
    """An operator whose output has the scale 1/256 and zero point 0."""

    bottom_count: ClassVar[Count] = Count(1)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for another scale or zero point."""
        layer = super().from_caffe2(operator)
        for name, found, expected in (
            ("Y_scale", layer.quantization.scale, 1 / 256),
            ("Y_zero_point", layer.quantization.zero_point, 0),
        ):
            if found != expected:
                operator.fail(f"`{name}: {found:g}` of `{operator.type}` must be {expected:g}", name)
        return layer


@operator("Int8Sigmoid")
@dataclass(frozen=True)
class Int8Sigmoid(_OfUnitScale):
    """The sigmoid of each element.

    Shapes: any, kept.

    Reference: `int8_sigmoid_op.h`, and QNNPACK's `sigmoid.c`.
    """

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.requantization import looked_up, sigmoid_table

        return looked_up(bottoms[0], sigmoid_table(self.source().scale, self.source().zero_point))


@operator("Int8Softmax")
@dataclass(frozen=True)
class Int8Softmax(_OfUnitScale):
    """The softmax of each item, over all other axes.

    Shapes: (n, ...), kept.

    Reference: `int8_softmax_op.h`, and QNNPACK's `softargmax.c` and `u8lut32norm`.
    """

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.requantization import softmax

        x = bottoms[0]
        if not x.numel():
            return x.clone()
        return softmax(x.reshape(x.shape[0], product(x.shape[1:])), self.source().scale).view(x.shape)
