"""EltwiseAffine: a learned factor and addend for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from netc.ir.dims import product, text
from netc.ir.filler import Filler
from netc.ir.layer import Affine, Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("EltwiseAffine", dialect="happynear", field="eltwise_affine_param")
@dataclass(frozen=True)
class EltwiseAffine(Layer):
    """A learned factor for each channel times x, plus a learned addend.

    Shapes: (n, c, ...), kept.

    >>> [w.shape for w in EltwiseAffine().weights(((2, 3, 7, 6),))]
    [(3,), (3,)]

    Reference: `eltwise_affine_layer.cpp` of happynear's Caffe. There each backward pass replaces the gradients of the
    blobs, and those of shared ones are written past their end; here they are summed, as those of other layers.
    """

    slope_filler: Filler = field(default_factory=lambda: Filler(value=1.0001))
    """How the factor is initialized."""
    bias_filler: Filler = field(default_factory=lambda: Filler(value=0.0001))
    """How the addend is initialized."""
    channel_shared: bool = False
    """Whether all channels have one factor and one addend."""

    in_place: ClassVar[bool] = True
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"
    affine: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for a bottom without a channel axis."""
        if len(bottoms[0]) < 2:
            fail(f"expected a bottom with at least 2 axes, got {text(bottoms[0])}", field="bottom")
        return bottoms

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight` and `bias`: one element for each channel, or scalars."""
        shape = () if self.channel_shared else (bottoms[0][1],)
        return (Weight("weight", shape, self.slope_filler), Weight("bias", shape, self.bias_filler))

    def channel_affine(self, blobs: Sequence[Any], axes: int) -> Affine | None:
        """The factor and the addend, unless all channels share them."""
        return None if self.channel_shared else (blobs[0], blobs[1])

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element."""
        return Cost(operations=2 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        factor, addend = (weight.reshape(-1, *(1,) * (x.dim() - 2)) for weight in weights)
        return torch.addcmul(addend, x, factor)
