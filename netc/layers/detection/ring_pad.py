"""RingPad: continues an axis at its other end, for panoramic images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import text
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements
from netc.layers._axes import axis_of
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("RingPad", dialect="panoramic", field="ring_pad_param")
@dataclass(frozen=True)
class RingPad(Layer):
    """Adds `pad` positions at each end of an axis, copied from the other end.

    Shapes: any, with `pad` more positions at each end of the axis.

    >>> RingPad(3, 1).infer(((1, 3, 636, 3500),), 1)
    ((1, 3, 636, 3502),)

    Reference: `ring_pad_layer.cu` of panoramic-object-detection; its CPU code and its gradient take the top's extent
    for the bottom's.
    """

    axis: int = 1
    """The axis to continue."""
    pad: int = 1
    """Number of positions to add at each end."""

    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an axis that the bottom lacks, or that is shorter than `pad`, E103 below 1."""
        (shape,) = bottoms
        axis = axis_of(self.axis, shape)
        if self.pad < 1:
            fail(f"`pad` is {self.pad}: it must be at least 1", code="E103", field="pad")
        if shape[axis] < self.pad:
            fail(f"axis {axis} of {text(shape)} is shorter than `pad` {self.pad}", field="pad")
        return ((*shape[:axis], shape[axis] + 2 * self.pad, *shape[axis + 1 :]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient of an element is the sum of those of its copies."""
        import torch

        x = bottoms[0]
        axis = self.axis % x.dim()
        ends = (x.narrow(axis, start, self.pad) for start in (x.shape[axis] - self.pad, 0))
        before, after = ends
        return torch.cat((before, x, after), axis)
