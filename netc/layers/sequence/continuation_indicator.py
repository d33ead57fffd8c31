"""ContinuationIndicator: the markers of sequences that all start at the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.fields import Fields
from netc.ir.layer import Constant, Cost, Count, Layer, Mode, Shapes
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor


@register("ContinuationIndicator", dialect="intel", field="continuation_indicator_param")
@dataclass(frozen=True)
class ContinuationIndicator(Layer):
    """Markers of sequences for recurrent layers: 0 at the first step, 1 at all others.

    Shapes: no bottom, or one that is not read, to (time_step, batch_size).

    >>> ContinuationIndicator(time_step=5, batch_size=2).infer((), 1)
    ((5, 2),)

    Reference: `continuation_indicator_layer.cpp` of Intel's and jolibrain's Caffe.
    """

    time_step: int = 0
    """Number of steps."""
    batch_size: int = 0
    """Number of sequences."""

    bottom_count: ClassVar[Count] = Count(0, 1)
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 unless both numbers are positive."""
        result = super().from_caffe(layer)
        positive((result.time_step,), "time_step")
        positive((result.batch_size,), "batch_size")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The shape of the markers."""
        return ((self.time_step, self.batch_size),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the markers are constant."""
        return Cost()

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The markers of the first step and of the others."""
        return (Constant("markers", values=(0.0, 1.0)),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The markers of the steps for each sequence."""
        import torch

        first, other = mode.constants["markers"].unbind(0)
        return torch.cat((first.expand(1, self.batch_size), other.expand(self.time_step - 1, self.batch_size)))
