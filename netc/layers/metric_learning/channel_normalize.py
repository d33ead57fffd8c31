"""Normalize of happynear's Caffe: the channels of each position divided by their length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.ir.dims import Shape, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._registry import LayerUse, register

if TYPE_CHECKING:
    from torch import Tensor

RELATIVES = frozenset(
    (
        *("ChannelScale", "Flip", "InnerDistance", "LabelSpecificAdd", "LabelSpecificMargin", "LabelSpecificRescale"),
        *("LargeMarginInnerProduct", "MarginInnerProduct"),
    )
)
"""Layer types of the nets that normalize features for face recognition; SSD's nets have none of them."""


def _is_happynears(use: LayerUse) -> bool:
    """Whether a Normalize layer has `normalize_param`, two tops or no blob, or its net a layer for faces.

    The last applies without `norm_param` only; the layers are ChannelScale, Flip, InnerDistance, the LabelSpecific
    layers, LargeMarginInnerProduct and MarginInnerProduct.
    """
    if "normalize_param" in use.parameters or use.tops > 1 or use.blobs == 0:
        return True
    return "norm_param" not in use.parameters and use.blobs is None and bool(use.neighbors & RELATIVES)


@register("Normalize", dialect="happynear", field="normalize_param", v1="NORMALIZE", when=_is_happynears)
@dataclass(frozen=True)
class ChannelNormalize(Layer):
    """Divides the channels of each position by their norm, which is an optional second top.

    The norm is sqrt(1e-12 + sum of x ** 2) or, for `L1`, 1e-6 + the sum of the absolute values.

    Shapes: (n, c), (n, c, h) or (n, c, h, w) to (n, c, h, w) and (n, 1, h, w), with extents of 1 for missing axes.

    >>> ChannelNormalize().infer(((4, 8),), 2)
    ((4, 8, 1, 1), (4, 1, 1, 1))

    Reference: `normalize_layer.cu` of happynear's Caffe; Wang et al., NormFace: L2 Hypersphere Embedding for Face
    Verification, 2017. Its CPU code adds 1e-6 to the sum of squares and ignores `fix_gradient`; its first versions
    divided by the norm of the whole item.
    """

    normalize_type: Literal["L2", "L1"] = "L2"
    """Which norm."""
    fix_gradient: bool = False
    """Whether the gradient is multiplied by the norm."""
    bp_norm: bool = False
    """Whether the second top has a gradient."""

    top_count: ClassVar[Count] = Count(1, 2)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a norm other than `L1` and `L2`."""
        result = super().from_caffe(layer)
        if result.normalize_type not in ("L1", "L2"):
            fail(
                f"unknown `normalize_type` `{result.normalize_type}`: expected `L1` or `L2`",
                code="E103",
                field="normalize_type",
            )
        return result

    def reads_top(self, in_place: bool) -> TopRead:
        """The directions."""
        return "values"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the bottom has 2 to 4 axes."""
        full = _full(bottoms[0])
        return (full, (full[0], 1, *full[2:]))

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per element."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The gradient is the derivative, multiplied by the norm with `fix_gradient`."""
        from netc.functions.gradient_scale import GradientScale

        x = bottoms[0].reshape(_full(tuple(bottoms[0].shape)))
        norm = self._norm(x, mode)
        if self.fix_gradient and not mode.cpu_code:
            given: Tensor = GradientScale.apply(x, norm.detach())  # type: ignore[no-untyped-call]
            top = given / self._norm(given, mode)
        else:
            top = x / norm
        return (top, norm if self.bp_norm else norm.detach())[: mode.tops]

    def _norm(self, x: Tensor, mode: Mode) -> Tensor:
        if self.normalize_type == "L1":
            return x.abs().sum(1, keepdim=True) + 1e-6
        return (x.square().sum(1, keepdim=True) + (1e-6 if mode.cpu_code else 1e-12)).sqrt()


def _full(shape: Shape) -> Shape:
    """The shape with four axes. Raises NetcError E102 unless there are 2 to 4."""
    if not 2 <= len(shape) <= 4:
        fail(f"expected a bottom with 2 to 4 axes, got {text(shape)}", field="bottom")
    return (*shape, *(1,) * (4 - len(shape)))
