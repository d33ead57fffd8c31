"""Channels of groups interleaved: ChannelShuffle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import text
from netc.ir.layer import Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Elements
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator
from netc.layers.operators._windows import Order, order_of
from netc.layers.operators.convolution import group_of

if TYPE_CHECKING:
    from torch import Tensor


@operator("ChannelShuffle")
@dataclass(frozen=True)
class ChannelShuffle(OperatorLayer):
    """The first channels of all groups, then the second ones, and so on.

    Shapes: (n, c, ...), or (n, ..., c) in the order NHWC, kept.

    >>> ChannelShuffle(2).infer(((1, 6, 4, 5),), 1)
    ((1, 6, 4, 5),)

    Reference: `channel_shuffle_op.cc`.
    """

    group: int = 1
    """Number of groups of channels."""
    order: Order = "NCHW"
    """The order of the axes; NHWC has the channels last."""

    elements: ClassVar[Elements] = "moved"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E103 for an unknown order, and unless `group` is positive."""
        return cls(group_of(operator), order_of(operator))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for channels that cannot be divided into the groups."""
        (x,) = bottoms
        if len(x) < 2:
            fail(f"input 0 of `{self.type}` has shape {text(x)}, expected at least 2 axes", field="input")
        channels = x[1] if self.order == "NCHW" else x[-1]
        if channels % self.group:
            fail(f"{channels} channels cannot be divided into {self.group} groups", field="group")
        return bottoms

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        (x,) = bottoms
        axis = 1 if self.order == "NCHW" else x.dim() - 1
        groups = x.reshape(*x.shape[:axis], self.group, x.shape[axis] // self.group, *x.shape[axis + 1 :])
        return groups.transpose(axis, axis + 1).reshape(x.shape)
