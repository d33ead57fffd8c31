"""Elements of quantized blobs in other places: Int8Reshape, Int8Flatten, Int8Slice, Int8Concat and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dtypes import DType
from netc.ir.layer import Count, DTypes, Mode
from netc.ir.operator import Argument, Operator
from netc.layers._operator_layer import INTEGERS
from netc.layers._operators import operator
from netc.layers.operators._quantized import BYTES, OfPlainOperator

if TYPE_CHECKING:
    from torch import Tensor


@operator("Int8Reshape", "Int8Flatten", "Int8Slice", "Int8ResizeNearest", "Int8ChannelShuffle")
@dataclass(frozen=True)
class Int8Arrangement(OfPlainOperator):
    """The operator of the name without `Int8`, which only moves elements.

    Shapes: as of real numbers, in the order NHWC; uint8 to uint8.

    Reference: `int8_reshape_op.h`, `int8_flatten_op.h`, `int8_slice_op.h`, `int8_resize_nearest_op.h`,
    `int8_channel_shuffle_op.h`.
    """

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (BYTES, INTEGERS)
    quantized_inputs: ClassVar[int | None] = 1
    keeps_quantization: ClassVar[bool] = True
    bottom_count: ClassVar[Count] = Count(1, 3)
    top_count: ClassVar[Count] = Count(1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError as the operator of real numbers does."""
        arguments = dict(operator.arguments)
        if operator.type == "Int8ResizeNearest":
            arguments["order"] = {"s": b"NHWC"}  # the only one, and not an argument
        layer = super().from_caffe2(Operator(operator.type, arguments, operator.inputs, operator.outputs))
        rule = layer.plain.bottom_count
        if len(operator.inputs) not in rule:
            message = f"`{operator.type}` expects {rule.text('input')}, got {len(operator.inputs)}"
            operator.fail(message, "input", code="E020")
        return layer

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """uint8, and those of further outputs of the operator of real numbers."""
        self.check_dtypes(bottoms)
        return ("uint8", *self.plain.dtypes(("float32", *bottoms[1:]), tops)[1:])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        found = self.plain.forward((bottoms[0].float(), *bottoms[1:]), (), mode)
        return found.byte() if not isinstance(found, tuple) else (found[0].byte(), *found[1:])


@operator("Int8Concat")
@dataclass(frozen=True)
class Int8Concat(OfPlainOperator):
    """Inputs with the scale of the first one after the other.

    The scales of further inputs are not compared, as in Caffe2. The second output is never written.

    Shapes: (..., c_i, ...) to (..., sum of c_i, ...), along `axis`, by default 3 in the order NHWC, 1 in NCHW, else 0.

    Reference: `int8_concat_op.h`.
    """

    keeps_quantization: ClassVar[bool] = True
    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, 2)

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for an axis that is out of range."""
        default = {"NHWC": 3, "NCHW": 1}.get(operator.text("order", ""), 0)
        arguments: dict[str, Argument] = {n: value for n, value in operator.arguments.items() if n != "order"}
        arguments["axis"] = {"i": operator.integer("axis", default)}
        return super().from_caffe2(Operator(operator.type, arguments, operator.inputs, operator.outputs))

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """uint8, and int32 for the extents along the axis."""
        self.check_dtypes(bottoms)
        return "uint8", "int32"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor | tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        found = self.plain.forward([bottom.float() for bottom in bottoms], (), mode)
        return found.byte() if not isinstance(found, tuple) else (found[0].byte(), *found[1:])
