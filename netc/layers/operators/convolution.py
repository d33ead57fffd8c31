"""Convolutions whose filter is an input: Conv and its variants, ConvRelu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Role
from netc.layers._operator_layer import check_shape
from netc.layers._operators import operator
from netc.layers.operators._windows import (
    WindowOperator,
    channels_first,
    in_order,
    read_windows,
)

if TYPE_CHECKING:
    from torch import Tensor


def group_of(operator: Operator) -> int:
    """The number of groups. Raises NetcError E103 unless it is positive."""
    group = operator.integer("group", 1)
    if group < 1:
        operator.fail(f"`group` is {group}, expected a positive number", "group")
    return group


@operator("Conv", "Conv1D", "Conv2D", "Conv3D")
@dataclass(frozen=True)
class Conv(WindowOperator):
    """Cross-correlation with a filter W, plus a bias b if there is a third input.

    The kernel is an argument and must agree with W; its number of axes, not the operator's name, says whether the
    convolution is over lines, planes or volumes.

    Shapes: X (n, c, *spatial), W (m, c / group, *kernel), b (m) to (n, m, *windows). In the order NHWC: X (n, *spatial,
    c), W (m, *kernel, c / group) to (n, *windows, m).

    >>> Conv(kernel=(3, 3), pads=(1, 1, 1, 1)).infer(((2, 3, 8, 9), (6, 3, 3, 3), (6,)), 1)
    ((2, 6, 8, 9),)

    Reference: `conv_op_impl.h`, `conv_pool_op_base.h`.
    """

    group: int = 1
    """Number of groups of channels that are convolved separately."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows and `group`. Raises NetcError E101, E103."""
        windows = read_windows(operator)
        if operator.flag("global_pooling"):
            operator.fail(f"`{operator.type}` does not support `global_pooling`", "global_pooling", code="E101")
        if windows["legacy_pad"] == 2 and max(windows["dilation"]) > 1:
            operator.fail("`legacy_pad: 2` does not support dilation", "legacy_pad", code="E101")
        return cls(**windows, group=group_of(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit."""
        x, w = bottoms[:2]
        self.check_rank(x)
        if len(w) != len(x):
            fail(f"the filter has shape {text(w)}, expected as many axes as the input {text(x)}", field="input")
        if len(x) > 5:
            fail(f"`{self.type}` supports up to 3 spatial axes, got {len(x) - 2}", field="input")
        n, c, spatial = self.split(x)
        m, depth, kernel = self.split(w)
        if differ(c, depth * self.group):
            groups = f" in each of {self.group} groups" if self.group > 1 else ""
            fail(f"the input has {c} channels, but the filter {text(w)} expects {depth}{groups}", field="input")
        if differ(kernel, self.kernel):
            fail(f"the filter has shape {text(w)}, but the kernel is {text(self.kernel)}", field="input")
        if m % self.group:
            fail(f"{m} outputs cannot be divided into {self.group} groups", field="group")
        if len(bottoms) > 2:
            check_shape(self.type, bottoms[2], (m,), 2)
        if any(extent == 0 for extent in (c, *spatial)):
            fail(f"input 0 of `{self.type}` has shape {text(x)}, which has no elements", field="input")
        return (self.join(n, m, tuple(frame.windows for frame in self.frames(spatial))),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per element of the filter and window, one addition per element of the bias."""
        outputs = product(tops[0])
        macs = outputs * product(bottoms[1][1:])
        return Cost(macs=macs, operations=outputs if len(bottoms) > 2 else 0)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x, w = channels_first(bottoms[0], self.order), channels_first(bottoms[1], self.order)
        bias = bottoms[2] if len(bottoms) > 2 else None
        axes = len(self.kernel)
        convolve = torch.conv2d if axes == 2 else torch.conv1d if axes == 1 else torch.conv3d
        pads = self.as_torch(x.shape[2:])
        if pads is None:
            x, pads = self.padded(x), (0,) * axes
        return in_order(convolve(x, w, bias, self.stride, pads, self.dilation, self.group), self.order)


@operator("ConvRelu")
@dataclass(frozen=True)
class ConvRelu(Conv):
    """Conv, followed by the positive part.

    Shapes: as `Conv`.

    Reference: `conv_relu_op.cc`.
    """

    type = "ConvRelu"
    overwritable: ClassVar[bool] = False

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """That of the convolution, and one comparison per output."""
        return super().cost(bottoms, tops) + Cost(operations=product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return super().forward(bottoms, weights, mode).relu_()
