"""Padding of planes: PadImage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, cast, get_args

from netc.ir.dims import text
from netc.ir.layer import Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.layers._operator_layer import OperatorLayer, check_axes
from netc.layers._operators import operator
from netc.layers.operators._windows import NOTSET, Extents, Order, channels_first, in_order, read_windows, split

if TYPE_CHECKING:
    from torch import Tensor

PadMode = Literal["constant", "reflect", "edge"]
_TORCH_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


@operator("PadImage")
@dataclass(frozen=True)
class PadImage(OperatorLayer):
    """Elements are added around each plane, or cut off where a pad is negative.

    `constant` adds `value`, `reflect` mirrors the plane at its border elements, `edge` repeats them, as `numpy.pad`.

    Shapes: (n, c, h, w) to (n, c, t + h + b, l + w + r), or with the channels last in the order NHWC.

    >>> PadImage((1, 2, 3, 4)).infer(((1, 3, 5, 6),), 1)
    ((1, 3, 9, 12),)

    Reference: `pad_op.cc`, `conv_pool_op_base.h`.
    """

    pads: Extents = (0, 0, 0, 0)
    """[t, l, b, r]"""
    mode: PadMode = "constant"
    """Which elements are added."""
    value: float = 0.0
    """The element that `constant` adds."""
    order: Order = "NCHW"
    """The order of the axes; NHWC has the channels last."""

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for arguments of convolutions that are not supported, E103 for an unknown mode."""
        windows = read_windows(operator, kernel=False)
        if windows["legacy_pad"] != NOTSET:
            operator.fail("`PadImage` does not support `legacy_pad`", "legacy_pad", code="E101")
        for name, values in (("stride", windows["stride"]), ("dilation", windows["dilation"])):
            if max(values) > 1:
                operator.fail(f"`PadImage` does not support `{name}`", name, code="E101")
        if operator.flag("global_pooling"):
            operator.fail("`PadImage` does not support `global_pooling`", "global_pooling", code="E101")
        if len(windows["pads"]) != 4:
            operator.fail(f"`PadImage` has {len(windows['pads'])} pads, expected 4", "pads", code="E101")
        mode = operator.text("mode", "constant")
        if mode not in get_args(PadMode):
            operator.fail(f"unknown `mode` {mode!r}", "mode", help="`constant`, `reflect` or `edge`")
        return cls(windows["pads"], cast("PadMode", mode), operator.real("value"), windows["order"])

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a number of axes other than 4, and for pads that the plane is too small for."""
        (x,) = bottoms
        check_axes(self.type, x, 4)
        n, c, spatial = split(x, self.order)
        y = tuple(extent + head + tail for extent, head, tail in zip(spatial, self.pads[:2], self.pads[2:]))
        if any(extent < 1 for extent in (c, *spatial, *y)):
            fail(f"the output would have the extents {text(y)}, which are not all positive", field="input")
        for extent, head, tail in zip(spatial, self.pads[:2], self.pads[2:]):
            if self.mode == "reflect" and extent <= max(head, tail):
                fail(f"`reflect` adds at most {extent - 1} elements to an extent of {extent}", field="input")
        return ((n, c, *y) if self.order == "NCHW" else (n, *y, c),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x = channels_first(bottoms[0], self.order)
        top, left, bottom, right = self.pads
        pads = left, right, top, bottom
        if self.mode == "constant":
            return in_order(F.pad(x, pads, value=self.value), self.order)
        if max(pads) > 0:
            x = F.pad(x, [max(pad, 0) for pad in pads], _TORCH_MODES[self.mode])
        return in_order(F.pad(x, [min(pad, 0) for pad in pads]), self.order)
