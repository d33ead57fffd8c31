"""Mean: an image plus or minus a mean, with factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.diagnostics import counted
from netc.ir.dims import differ, product
from netc.ir.fields import Fields
from netc.ir.layer import Constant, Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._registry import register
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor


@register("Mean", dialect="flownet2", field="mean_param")
@dataclass(frozen=True)
class Mean(Layer):
    """output_scale (input_scale x + mean_scale mean), or minus the mean with `SUBTRACT`.

    The mean is a value for each channel, or an image; fewer channels than those of the bottom are repeated.

    Shapes: (n, c, h, w), kept; one top per bottom.

    >>> Mean("SUBTRACT", value=(104.0, 117.0, 123.0)).infer(((2, 6, 4, 5),), 1)
    ((2, 6, 4, 5),)

    Reference: `mean_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    operation: Literal["ADD", "SUBTRACT"]
    """Whether the mean is added or subtracted."""
    file: str = ""
    """Path of a .binaryproto file with the mean image; it replaces `value`."""
    value: tuple[float, ...] = ()
    """The mean of each channel."""
    mean_scale: float = 1.0
    """Factor of the mean."""
    input_scale: float = 1.0
    """Factor of the bottom."""
    output_scale: float = 1.0
    """Factor of the result."""

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, None)
    same_count: ClassVar[bool] = True
    elements: ClassVar[Elements] = "scaled"
    sees: ClassVar[Sees] = "place"
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 without an operation, or without a mean."""
        p = layer.message("mean_param")
        if "operation" not in p:
            fail("`operation` is missing", code="E101", help="set `operation: ADD` or `operation: SUBTRACT`")
        if not p.get("file", "") and not p.get("value", ()):
            fail("`value` and `file` are missing", code="E101", field="operation")
        return super().from_caffe(layer)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the number of channels is not a multiple of the number of values."""
        for _, c, _, _ in planes("Mean", bottoms):
            if self.value and not self.file and differ(c % len(self.value), 0):
                fail(
                    f"the number of channels, {c}, is not a multiple of the {counted(len(self.value), 'value')}",
                    field="value",
                )
        return bottoms

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """`mean`, which the file holds."""
        return (Constant("mean", self.file),) if self.file else (Constant("mean", values=self.value),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element, and one multiplication by `output_scale`."""
        return Cost(operations=sum(map(product, tops)) * (3 if self.output_scale != 1 else 2))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        mean = self._mean(bottoms[0], mode)
        sign = -1 if self.operation == "SUBTRACT" else 1
        return tuple(self._one(bottom, mean * (sign * self.mean_scale)) for bottom in bottoms)

    def _mean(self, bottom: Tensor, mode: Mode) -> Tensor:
        """Return the mean with three axes."""
        held = mode.constants.get("mean")
        if held is not None:
            return held.reshape(held.shape[-3:] if self.file else (-1, 1, 1))
        if self.file:
            fail(f"the mean image `{self.file}` was not read", code="E206", field="mean_param.file")
        return bottom.new_tensor(self.value).reshape(-1, 1, 1)

    def _one(self, bottom: Tensor, mean: Tensor) -> Tensor:
        n, c, h, w = bottom.shape
        if self.file and (tuple(mean.shape[1:]) != (h, w) or c % mean.shape[0]):
            fail(f"a mean of {'x'.join(map(str, mean.shape))} does not fit a bottom of {c}x{h}x{w}", field="file")
        grouped = bottom.reshape(n, c // mean.shape[0], *mean.shape[:1], h, w)
        top = self.output_scale * (self.input_scale * grouped + mean.to(bottom.dtype))
        return top.reshape(bottom.shape)
