"""BlackAugmentation: items without motion, and black borders, at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._registry import register
from netc.layers.optical_flow._coefficients import RandomNumber
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor

IMAGE, FLOW = 3, 2
"""Channels of an image and of a flow."""


@register("BlackAugmentation", dialect="flownet2", field="black_augmentation_param")
@dataclass(frozen=True)
class BlackAugmentation(Layer):
    """Images and flows, one top each; random items show nothing that moves, or have a black border.

    Where `black` is not 0, flows become 0, and images become the last image (that image itself keeps its values;
    FlowNet2 leaves its top as it was, unless it is computed in place). Elsewhere a share `border` of the width, of the
    height or of both becomes 0 on each side, in images and flows. Tests are no exception.

    Shapes: images (n, 3, h, w) and flows (n, 2, h, w), kept; one top per bottom.

    >>> BlackAugmentation().infer(((2, 3, 8, 9), (2, 2, 8, 9)), 2)
    ((2, 3, 8, 9), (2, 2, 8, 9))

    Reference: `black_augmentation_layer.cu` of FlowNet2 (lmb-freiburg/flownet2).
    """

    black: RandomNumber | None = None
    """Whether an item does not move."""
    border: RandomNumber | None = None
    """The share of the width or height that becomes 0 on each side."""

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(1, None)
    same_count: ClassVar[bool] = True
    in_place = True
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @property
    def is_identity_in_test(self) -> bool:  # type: ignore[override]
        """Where nothing is drawn."""
        return not (self.black or self.border)

    @property
    def elements(self) -> Elements:  # type: ignore[override]
        """Copied, where nothing is drawn."""
        return "computed" if self.black or self.border else "moved"

    @property
    def keeps_sign(self) -> bool:  # type: ignore[override]
        """Unless an image becomes another."""
        return not self.black

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for invalid numbers."""
        p = layer.message("black_augmentation_param")
        return cls(*(RandomNumber.read(p, name, "black_augmentation_param") for name in ("black", "border")))

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for bottoms of different sizes, and for one that is neither an image nor a flow."""
        n, _, h, w = planes(self.type, bottoms)[0]
        for bottom in bottoms:
            if differ(bottom[1], IMAGE) and differ(bottom[1], FLOW):
                fail(f"expected images with 3 channels or flows with 2, got {text(bottom)}", field="bottom")
            if any(map(differ, (bottom[0], *bottom[2:]), (n, h, w))):
                fail(f"bottoms have different sizes: {', '.join(map(text, bottoms))}", field="bottom")
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per element."""
        return Cost(operations=sum(map(product, tops)))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient, which FlowNet2 does not have, is that of the elements that are kept."""
        import torch

        kept = self._kept(bottoms[0])
        tops = [bottom.clone() if kept is None else torch.where(kept, bottom, 0.0) for bottom in bottoms]
        if self.black is not None:
            still = self.black.flags((len(bottoms[0]), 1, 1, 1), bottoms[0], 1.0, 0.0)
            last = next((bottom for bottom in reversed(bottoms) if bottom.shape[1] == IMAGE), None)
            for index, bottom in enumerate(bottoms):
                shown = last if bottom.shape[1] == IMAGE and last is not None else torch.zeros_like(bottom)
                tops[index] = torch.where(still, shown, tops[index])
        return tuple(tops)

    def _kept(self, bottom: Tensor) -> Tensor | None:
        """Return which places of each item are not in a border (n, 1, h, w), None without borders."""
        import torch

        if self.border is None:
            return None
        n, _, h, w = bottom.shape
        share = self.border.draw((n, 1, 1, 1), bottom, 1.0, 0.0)
        sides = torch.randint(3, (n, 1, 1, 1), device=bottom.device)
        inside: Tensor | None = None
        for axis, extent, other in ((3, w, 1), (2, h, 0)):
            border = torch.where(sides == other, 0.0, (share * extent).trunc())
            place = torch.arange(extent, device=bottom.device).reshape([-1 if a == axis else 1 for a in range(4)])
            one = (place >= border) & (place < extent - border)
            inside = one if inside is None else inside & one
        return inside
