"""Transposed convolution whose filter is an input: ConvTranspose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.receptive_field import ReceptiveField, ReceptiveFields
from netc.ir.traits import Role
from netc.layers._operator_layer import OperatorLayer, check_axes, check_shape
from netc.layers._operators import operator
from netc.layers.operators._windows import (
    CAFFE_POOLING,
    NOTSET,
    Extents,
    Order,
    channels_first,
    extents,
    in_order,
    order_of,
    pads_of,
    split,
)
from netc.layers.operators.convolution import group_of

if TYPE_CHECKING:
    from torch import Tensor


@operator("ConvTranspose")
@dataclass(frozen=True)
class ConvTranspose(OperatorLayer):
    """Transposed convolution of planes with a filter W, plus a bias b if there is a third input.

    Dilation is not an argument of the operator.

    Shapes: X (n, c, h, w), W (c, m / group, *kernel), b (m) to (n, m, oh, ow), oh = (h - 1) stride + kernel + adj -
    head - tail. In the order NHWC: X (n, h, w, c), W (c, *kernel, m / group) to (n, oh, ow, m).

    >>> ConvTranspose((4, 4), stride=(2, 2), pads=(1, 1, 1, 1)).infer(((1, 5, 8, 8), (5, 3, 4, 4)), 1)
    ((1, 3, 16, 16),)

    Reference: `conv_transpose_op_impl.h`, `conv_transpose_unpool_op_base.h`.
    """

    kernel: Extents
    """Height and width of the filter."""
    stride: Extents = (1, 1)
    """Distances between the windows of the output."""
    pads: Extents = (0, 0, 0, 0)
    """What is cut off the output: [t, l, b, r]."""
    adj: Extents = (0, 0)
    """What is added to the output at the bottom and at the right."""
    group: int = 1
    """Number of groups of channels that are convolved separately."""
    order: Order = "NCHW"
    """The order of the axes; NHWC has the channels last."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows and `group`. Raises NetcError E101 for numbers that do not match, E103 for their values."""
        legacy_pad = operator.integer("legacy_pad", NOTSET)
        if not NOTSET <= legacy_pad < CAFFE_POOLING:
            operator.fail(f"`ConvTranspose` does not support `legacy_pad: {legacy_pad}`", "legacy_pad")
        kernel = extents(operator, "kernel", "kernels")
        if not kernel:
            operator.fail("`ConvTranspose` requires a kernel", "kernel", code="E101")
        stride = extents(operator, "stride", "strides") or [1, 1]
        adj = extents(operator, "adj", "adjs") or [0, 0]
        pads = pads_of(operator, legacy_pad) or [0] * 4
        found = (("kernel", kernel, 2, 1), ("stride", stride, 2, 1), ("adj", adj, 2, 0), ("pad", pads, 4, 0))
        for name, values, count, least in found:
            field = next((one for one in (f"{name}s", name, f"{name}_h", f"{name}_t") if one in operator), name)
            if len(values) != count:
                what = f"`ConvTranspose` has {len(values)} numbers for `{name}`, expected {count}"
                operator.fail(what, field, code="E101")
            if min(values) < least:
                operator.fail(f"`{name}` is {min(values)}, expected at least {least}", field)
        for more, step in zip(adj, stride):
            if more > step:
                operator.fail(f"`adj` of {more} is greater than the stride of {step}", "adj")
        group, order = group_of(operator), order_of(operator)
        return cls(tuple(kernel), tuple(stride), tuple(pads), tuple(adj), group, order)

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """What the windows of the output spread; unknown with the channels last."""
        if self.order == "NHWC" or len(fields[0]) != 2:
            return None
        return tuple(map(ReceptiveField.spread, fields[0], self.kernel, self.stride))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit."""
        x, w = bottoms[:2]
        check_axes(self.type, x, 4)
        check_axes(self.type, w, 4, 1)
        n, c, spatial = split(x, self.order)
        inputs, depth, kernel = split(w, self.order)
        if differ(c, inputs):
            fail(f"the input has {c} channels, but the filter {text(w)} expects {inputs}", field="input")
        if differ(kernel, self.kernel):
            fail(f"the filter has shape {text(w)}, but the kernel is {text(self.kernel)}", field="input")
        if c % self.group:
            fail(f"{c} channels cannot be divided into {self.group} groups", field="group")
        m = depth * self.group
        if len(bottoms) > 2:
            check_shape(self.type, bottoms[2], (m,), 2)
        heads, tails = self.pads[:2], self.pads[2:]
        windows = zip(spatial, self.kernel, self.stride, self.adj, heads, tails)
        y = tuple((e - 1) * s + k + adj - head - tail for e, k, s, adj, head, tail in windows)
        if any(extent < 1 for extent in (c, *spatial, *y)):
            fail(f"the output would have the extents {text(y)}, which are not all positive", field="input")
        return ((n, m, *y) if self.order == "NCHW" else (n, *y, m),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per element of the input and of a channel's filter, one addition per element of the bias."""
        macs = product(bottoms[0]) * product(bottoms[1][1:])
        return Cost(macs=macs, operations=product(tops[0]) if len(bottoms) > 2 else 0)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x, w = channels_first(bottoms[0], self.order), channels_first(bottoms[1], self.order)
        bias = bottoms[2] if len(bottoms) > 2 else None
        (top, left, bottom, right), (down, across) = self.pads, self.adj
        if (top, left) == (bottom, right) and all(more < step for more, step in zip(self.adj, self.stride)):
            y = F.conv_transpose2d(x, w, bias, self.stride, (top, left), self.adj, self.group)
        else:
            y = F.conv_transpose2d(x, w, None, self.stride, groups=self.group)
            y = F.pad(y, (-left, across - right, -top, down - bottom))
            y = y if bias is None else y + bias[:, None, None]
        return in_order(y, self.order)
