"""Normalize: SSD's division by the L2 norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product, text
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Role, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Normalize", dialect="ssd", field="norm_param")
@dataclass(frozen=True)
class Normalize(Layer):
    """Divides by the L2 norm of an image or of each position's channels, and multiplies by a learned scale.

    y = scale x / sqrt(eps + sum of x ** 2), the sum over the image, or over the channels of one position.

    Shapes: (n, c, h, w) to the same.

    >>> [w.shape for w in Normalize(channel_shared=False).weights(((1, 512, 38, 38),))]
    [(512,)]

    Reference: Liu et al., ParseNet, 2015; `normalize_layer.cpp` of SSD (weiliu89/caffe, branch ssd).
    """

    across_spatial: bool = True
    """Whether the norm is that of the whole image instead of each position's channels."""
    scale_filler: Filler = field(default_factory=lambda: Filler(value=1.0))
    """How the scale is initialized; ones by default."""
    channel_shared: bool = True
    """Whether there is one scale instead of one per channel."""
    eps: float = 1e-10
    """Added to the sum of squares."""

    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True

    @property
    def sees(self) -> Sees:  # type: ignore[override]
        """All places, or one."""
        return "all" if self.across_spatial else "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The bottom's shape. Raises NetcError E102 unless it has 2 to 4 axes."""
        if not 2 <= len(bottoms[0]) <= 4:
            fail(f"expected a bottom with 2 to 4 axes, got {text(bottoms[0])}", field="bottom")
        return bottoms

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: a scalar, or one element per channel."""
        return (Weight("weight", () if self.channel_shared else (bottoms[0][1],), self.scale_filler),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """A square, an addition, a division and a multiplication per element."""
        return Cost(operations=4 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring, with the gradient of the original code."""
        from netc.functions.scaled_norm import ScaledNorm

        x = bottoms[0]
        axes = tuple(range(1, x.dim())) if self.across_spatial else (1,)
        scale = weights[0].reshape(-1, *(1,) * (x.dim() - 2))
        top: Tensor = ScaledNorm.apply(x, scale, axes, self.eps)  # type: ignore[no-untyped-call]
        return top
