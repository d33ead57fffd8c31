"""ShuffleChannel: channels change places between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, text
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Role, Sees
from netc.layers._registry import register
from netc.layers._windows import positive

if TYPE_CHECKING:
    from torch import Tensor


@register("ShuffleChannel", dialect="shufflenet", field="shuffle_channel_param")
@dataclass(frozen=True)
class ShuffleChannel(Layer):
    """Channels in the order of their place within their group: the first of each group, the second of each, ...

    Shapes: (n, c, ...), kept.

    >>> ShuffleChannel(group=3).infer(((2, 240, 28, 28),), 1)
    ((2, 240, 28, 28),)

    Reference: `shuffle_channel_layer.cpp` of farmingyard's ShuffleNet; Zhang et al., ShuffleNet, 2017.
    """

    group: int = 1
    """Number of groups, a divisor of the number of channels."""

    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    rearranges: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 or E103 if the channels cannot be divided into groups."""
        positive((self.group,), "group")
        if len(bottoms[0]) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(bottoms[0])}", field="bottom")
        if differ(bottoms[0][1] % self.group, 0):
            fail(f"{bottoms[0][1]} channels are not a multiple of `group` {self.group}", field="group")
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        return torch.stack(bottoms[0].chunk(self.group, 1), 2).flatten(1, 2)
