"""Reverse and ReverseTime: the elements along an axis, or the steps of each sequence, from the last to the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import counted
from netc.ir.dims import Shape, differ, text
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields
from netc.ir.traits import Elements
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Reverse", dialect="ctpn", field="reverse_param")
@dataclass(frozen=True)
class Reverse(Layer):
    """Reverses the order of the elements along an axis.

    Shapes: any, kept.

    >>> Reverse(axis=1).infer(((4, 3, 5),), 1)
    ((4, 3, 5),)

    Reference: `reverse_layer.cpp` of CTPN's, caffe_ocr's, OpenVINO's and jolibrain's Caffe.
    """

    axis: int = 0
    """The axis to reverse, counted from the first."""

    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a negative axis."""
        if self.axis < 0:
            fail(f"`axis` is {self.axis}: it must be at least 0", code="E103", field="axis")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottom has no such axis."""
        if self.axis >= len(bottoms[0]):
            fail(f"axis {self.axis} of a bottom with {counted(len(bottoms[0]), 'axis')}", field="axis")
        return bottoms

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """Unknown if a spatial axis is reversed; the bottom's otherwise."""
        return None if self.axis > 1 else fields[0]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """A reversed copy."""
        return bottoms[0].flip(self.axis)


@register("ReverseTime", dialect="caffe_ocr", field="reverse_time_param")
@dataclass(frozen=True)
class ReverseTime(Layer):
    """Reverses the first steps of each sequence, as many as the second bottom says.

    The steps after them are copied or, without `copy_remaining`, 0.

    Shapes: (t, n, ...) and the lengths (n) to (t, n, ...).

    >>> ReverseTime().infer(((5, 2, 3), (2,)), 1)
    ((5, 2, 3),)

    Reference: `reverse_time_layer.cpp` of caffe_ocr. Without `copy_remaining` it leaves the remaining steps of the top
    and of the gradient as they were; a new blob holds zeros.
    """

    copy_remaining: bool = False
    """Whether to copy the steps after the end of a sequence."""

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient: ClassVar[tuple[int, ...]] = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """Moved, unless the steps after the end of a sequence are 0."""
        return "moved" if self.copy_remaining else "computed"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless there is one length for each sequence."""
        x, lengths = bottoms
        if len(x) < 2:
            fail(f"expected sequences (time steps, streams, ...) with at least 2 axes, got {text(x)}", field="bottom")
        if differ(lengths, (x[1],)):
            fail(f"lengths {text(lengths)} for {counted(x[1], 'stream')}", field="bottom")
        return (x,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One gather along the first axis."""
        import torch

        x, lengths = bottoms[0], bottoms[1].detach().long()
        steps = x.shape[0]
        mode.check_range(bottoms[1], 0, steps + 1, "length")
        step = torch.arange(steps, device=x.device).unsqueeze(1)
        inside = step < lengths
        source = torch.where(inside, lengths - 1 - step, step).clamp(0, steps - 1)
        places = (steps, x.shape[1]) + (1,) * (x.dim() - 2)
        top = x.gather(0, source.reshape(places).expand(x.shape))
        return top if self.copy_remaining else top.where(inside.reshape(places), 0.0)
