"""ChannelNorm: the length of the vector of channels at each position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Layer, Mode, Shapes
from netc.ir.traits import Sees, TopRead
from netc.layers._registry import register
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor


@register("ChannelNorm", dialect="flownet2")
@dataclass(frozen=True)
class ChannelNorm(Layer):
    """Square root of the sum of squares over the channels at each position; the gradient of a zero vector is 0.

    Shapes: (n, c, h, w) to (n, 1, h, w).

    >>> ChannelNorm().infer(((2, 3, 4, 5),), 1)
    ((2, 1, 4, 5),)

    Reference: `channel_norm_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    rearranges: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without 4 axes."""
        n, _, h, w = planes("ChannelNorm", bottoms)[0]
        return ((n, 1, h, w),)

    def reads_top(self, in_place: bool) -> TopRead:
        """The norm, by which the gradient is divided."""
        return "values"

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element, and one root per position."""
        return Cost(operations=2 * product(bottoms[0]) + product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        norm: Tensor = torch.linalg.vector_norm(bottoms[0], dim=1, keepdim=True)
        return norm
