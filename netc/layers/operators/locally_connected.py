"""Convolution with a filter of its own at each place: LC and its variants."""

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
from netc.layers.operators._windows import WindowOperator, channels_first, in_order, read_windows
from netc.layers.operators.convolution import group_of

if TYPE_CHECKING:
    from torch import Tensor


@operator("LC", "LC1D", "LC2D", "LC3D")
@dataclass(frozen=True)
class LocallyConnected(WindowOperator):
    """Inner products of each window with a filter of its own, plus a bias b if there is a third input.

    Shapes: X (n, c, *spatial), W (*windows, m, c / group, *kernel), b (*windows, m) to (n, m, *windows). In the order
    NHWC, for planes only: X (n, h, w, c), W (*windows, m, *kernel, c) to (n, *windows, m).

    >>> LocallyConnected((2, 2)).infer(((1, 2, 4, 4), (3, 3, 5, 2, 2, 2), (3, 3, 5)), 1)
    ((1, 5, 3, 3),)

    Reference: `locally_connected_op_impl.h`, `conv_pool_op_base.h`.
    """

    group: int = 1
    """Number of groups of channels; NHWC ignores it, as in Caffe2."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    role: ClassVar[Role] = "inner"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Read the windows and `group`. Raises NetcError E101, E103."""
        windows, group = read_windows(operator), group_of(operator)
        if operator.flag("global_pooling"):
            operator.fail(f"`{operator.type}` does not support `global_pooling`", "global_pooling", code="E101")
        if windows["order"] == "NHWC" and len(windows["kernel"]) != 2:
            operator.fail(f"`{operator.type}` supports `NHWC` for planes only", "order", code="E101")
        return cls(**windows, group=1 if windows["order"] == "NHWC" else group)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for shapes that do not fit."""
        x, w = bottoms[:2]
        self.check_rank(x)
        axes = len(self.kernel)
        if len(w) != 2 * axes + 2:
            fail(f"the filter has shape {text(w)}, expected {2 * axes + 2} axes", field="input")
        n, c, spatial = self.split(x)
        if any(extent == 0 for extent in (c, *spatial)):
            fail(f"input 0 of `{self.type}` has shape {text(x)}, which has no elements", field="input")
        windows = tuple(frame.windows for frame in self.frames(spatial))
        m = w[axes]
        _, depth, kernel = self.split(w[axes:])
        if differ(windows, w[:axes]):
            fail(f"the filter {text(w)} is for {text(w[:axes])} windows, but there are {text(windows)}", field="input")
        if differ(c, depth * self.group):
            groups = f" in each of {self.group} groups" if self.group > 1 else ""
            fail(f"the input has {c} channels, but the filter {text(w)} expects {depth}{groups}", field="input")
        if differ(kernel, self.kernel):
            fail(f"the filter has shape {text(w)}, but the kernel is {text(self.kernel)}", field="input")
        if m % self.group:
            fail(f"{m} outputs cannot be divided into {self.group} groups", field="group")
        if len(bottoms) > 2:
            check_shape(self.type, bottoms[2], (*windows, m), 2)
        return (self.join(n, m, windows),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiply-add per item and element of the filter, one addition per element of the bias."""
        macs = bottoms[0][0] * product(bottoms[1])
        return Cost(macs=macs, operations=product(tops[0]) if len(bottoms) > 2 else 0)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        axes, group = len(self.kernel), self.group
        columns = self.padded(channels_first(bottoms[0], self.order))
        for axis, (kernel, stride, dilation) in enumerate(zip(self.kernel, self.stride, self.dilation)):
            columns = columns.unfold(2 + axis, dilation * (kernel - 1) + 1, stride)[..., ::dilation]
        n, c, *windows = columns.shape[: 2 + axes]
        w = bottoms[1] if self.order == "NCHW" else bottoms[1].movedim(-1, axes + 1)
        m, places, taps = w.shape[axes], product(windows), product(self.kernel)
        columns = columns.reshape(n, group, c // group, places, taps)
        filters = w.reshape(places, group, m // group, c // group, taps)
        y = torch.einsum("ngcpt,pgmct->ngmp", columns, filters).reshape(n, m, *windows)
        if len(bottoms) > 2:
            y = y + bottoms[2].movedim(-1, 0)
        return in_order(y, self.order)
