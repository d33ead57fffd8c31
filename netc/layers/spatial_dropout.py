"""SpatialDropout: whole channels are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import text
from netc.ir.layer import Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register
from netc.layers.dropout import check_ratio

if TYPE_CHECKING:
    from torch import Tensor


@register("SpatialDropout", dialect="intel", field="spatial_dropout_param")
@dataclass(frozen=True)
class SpatialDropout(Layer):
    """In training, sets random channels to 0 and multiplies the others by 1 / (1 - ratio); the identity in test.

    Shapes: (n, c, ...), kept.

    >>> SpatialDropout(0.3).infer(((2, 3, 4, 5),), 1)
    ((2, 3, 4, 5),)

    Reference: `spatial_dropout_layer.cpp` of Intel's Caffe; Tompson et al., Efficient Object Localization Using
    Convolutional Networks, 2015.
    """

    dropout_ratio: float = 0.5
    """The probability that a channel is set to 0."""

    in_place = True
    role: ClassVar[Role] = "inner"
    is_identity_in_test: ClassVar[bool] = True
    keeps_sign: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless the ratio is at least 0 and less than 1; 0 drops nothing."""
        check_ratio(self.dropout_ratio)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without a channel axis."""
        if len(bottoms[0]) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(bottoms[0])}", field="bottom")
        return bottoms

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x = bottoms[0]
        if not mode.training:
            return x
        kept = F.dropout(x.new_ones(*x.shape[:2], *[1] * (x.dim() - 2)), self.dropout_ratio)
        return x * kept
