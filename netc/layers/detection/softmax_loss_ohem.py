"""SoftmaxWithLossOHEM: SoftmaxWithLoss with the loss of each position, for hard example mining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.layer import Count, Mode, Shapes
from netc.layers._registry import register
from netc.layers.cross_entropy import SoftmaxWithLoss

if TYPE_CHECKING:
    from torch import Tensor


@register("SoftmaxWithLossOHEM", dialect="rfcn")
@dataclass(frozen=True)
class SoftmaxWithLossOhem(SoftmaxWithLoss):
    """SoftmaxWithLoss whose third top is the loss of each position, 0 where the label is ignored.

    Shapes: scores (n, c, ...) and one label for each position outside `axis` to a scalar, the scores' shape and the
    labels' shape; no gradient flows through the second and third top.

    >>> SoftmaxWithLossOhem().infer(((300, 21), (300,)), 3)
    ((), (300, 21), (300,))

    Reference: `softmax_loss_layer.cpp` and `.cu` of R-FCN's Caffe; Shrivastava et al., Training Region-based Object
    Detectors with Online Hard Example Mining, 2016.
    """

    top_count: ClassVar[Count] = Count(1, 3)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises the errors of SoftmaxWithLoss."""
        return (*super().infer(bottoms, tops), bottoms[1])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """As SoftmaxWithLoss."""
        tops = super().forward(bottoms, weights, mode)
        if mode.tops < 3:
            return tops
        each, _ = self.each_loss([bottom.detach() for bottom in bottoms], mode)
        return (*tops, each.reshape(bottoms[1].shape))
