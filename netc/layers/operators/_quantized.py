"""What the Int8 operators share: blobs of uint8, each with the scale and zero point of the operator that writes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Cost, DTypes, Layer, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.quantization import Quantization
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator_class

if TYPE_CHECKING:
    from torch import Tensor

BYTES: frozenset[DType] = frozenset(("uint8",))
Sources = tuple[Quantization | None, ...]


def read_quantization(operator: Operator, *, of_bytes: bool = True) -> Quantization:
    """The arguments `Y_scale` and `Y_zero_point`. Raises NetcError E103 for numbers out of range."""
    import numpy as np

    scale, zero_point = float(np.float32(operator.real("Y_scale", 1.0))), operator.integer("Y_zero_point", 0)
    if not scale > 0:
        operator.fail(f"`Y_scale: {scale:g}` must be positive", "Y_scale")
    if of_bytes and not 0 <= zero_point <= 255:
        operator.fail(f"`Y_zero_point: {zero_point}` is outside 0 to 255", "Y_zero_point")
    return Quantization(scale, zero_point)


@dataclass(frozen=True)
class QuantizedOperator(OperatorLayer):
    """An operator whose first output is quantized; its inputs are as well, at least the first."""

    type: str = ""  # type: ignore[misc]
    """The type of the operator."""
    quantization: Quantization = field(default_factory=Quantization)  # type: ignore[misc]
    """That of the output."""
    sources: Sources = ()
    """Those of the inputs, None for one that is not quantized."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (BYTES,)
    quantized_inputs: ClassVar[int | None] = None
    """The number of inputs that must be quantized; None for all."""
    keeps_quantization: ClassVar[bool] = False
    """Whether the arguments must repeat those of the first input."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the scale and zero point. Raises NetcError E103."""
        return cls(operator.type, read_quantization(operator))

    def quantized_by(self, sources: Sequence[Quantization | None]) -> Self:
        """Return the layer with the inputs' scales. Raises NetcError E107, E103."""
        for index, source in enumerate(sources[: self.quantized_inputs]):
            if source is None:
                fail(
                    f"input {index} of `{self.type}` is not quantized",
                    code="E107",
                    field="input",
                    help="an Int8 operator of this net, or of its init net, must produce it",
                )
        if self.keeps_quantization and sources and sources[0] != self.quantization:
            source, own = sources[0], self.quantization
            assert source is not None
            fail(
                f"`Y_scale: {own.scale:g}` and `Y_zero_point: {own.zero_point}` of `{self.type}` must be those of its "
                f"input, {source.scale:g} and {source.zero_point}",
                code="E103",
                field="Y_scale" if own.scale != source.scale else "Y_zero_point",
            )
        return dataclasses.replace(self, sources=tuple(sources))

    def source(self, index: int = 0) -> Quantization:
        """That of an input that is quantized."""
        found = self.sources[index]
        assert found is not None
        return found

    def real(self, x: Tensor, index: int = 0) -> Tensor:
        """The integers of an input minus its zero point, in float64: products and sums are exact."""
        return x.double() - self.source(index).zero_point

    @property
    def no_gradient(self) -> tuple[int, ...]:  # type: ignore[override]
        """All inputs: integers have no gradient."""
        return tuple(range(len(self.sources)))

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """uint8."""
        self.check_dtypes(bottoms)
        return ("uint8",)


@dataclass(frozen=True)
class OfPlainOperator(QuantizedOperator):
    """An operator with the arguments and shapes of one of real numbers, whose type has no `Int8`."""

    plain: Layer = field(default_factory=OperatorLayer)
    """The operator of real numbers."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError as the operator of real numbers does; E103 for an order other than NHWC."""
        name = operator.type.removeprefix("Int8")
        plain = operator_class(name) or operator_class(name.removesuffix("Relu"))
        assert plain is not None
        found = plain.from_caffe2(
            Operator(name.removesuffix("Relu"), operator.arguments, operator.inputs, operator.outputs)
        )
        if getattr(found, "order", "NHWC") != "NHWC":
            operator.fail(f"`{operator.type}` supports only `order: NHWC`", "order")
        return cls(operator.type, read_quantization(operator), plain=found)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError as the operator of real numbers does."""
        return self.plain.infer(bottoms, tops)  # type: ignore[return-value]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """As of real numbers."""
        return self.plain.cost(bottoms, tops)

    def real_output(self, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        """The first output of the operator of real numbers."""
        found = self.plain.forward(bottoms, (), mode)
        return found if not isinstance(found, tuple) else found[0]
