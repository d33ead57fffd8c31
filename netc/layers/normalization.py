"""LRN and MVN: normalization by neighboring elements, and by a whole plane or image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.ir.dims import Shape, product
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Layer, Mode, Shapes, fail
from netc.ir.receptive_field import ReceptiveFields
from netc.ir.traits import Role, Sees, TopRead
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("LRN", field="lrn_param", v1="LRN")
@dataclass(frozen=True)
class LRN(Layer):
    """Divides each element by a power of the sum of squares around it.

    `ACROSS_CHANNELS`: x / (k + alpha / local_size * sum) ** beta, over `local_size` channels at one position.
    `WITHIN_CHANNEL`: x / (1 + alpha / local_size**2 * sum) ** beta, over a square in one plane; `k` is not used.

    Shapes: (n, c, h, w) to the same.

    >>> LRN(local_size=3, alpha=1e-4).infer(((2, 96, 27, 27),), 1)
    ((2, 96, 27, 27),)

    Reference: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012, section
    3.3 (whose alpha is Caffe's divided by `local_size`); `lrn_layer.cpp`.
    """

    local_size: int = 5
    """Window extent in channels or along each side of the square: odd."""
    alpha: float = 1.0
    """Factor of the sum of squares, divided by the number of elements in the window."""
    beta: float = 0.75
    """Exponent of the denominator."""
    norm_region: Literal["ACROSS_CHANNELS", "WITHIN_CHANNEL"] = "ACROSS_CHANNELS"
    """Whether the window spans channels or a square within one channel."""
    k: float = 1.0
    """Constant term of the denominator; only for `ACROSS_CHANNELS`."""

    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """One position, or the square around it."""
        if self.norm_region == "ACROSS_CHANNELS":
            return fields[0]
        return tuple(field.window(self.local_size) for field in fields[0])

    def reads_top(self, in_place: bool) -> TopRead:
        """The ratio of y to its scale (`lrn_layer.cpp`, CrossChannelBackward_cpu)."""
        return "values"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads the parameter message. Raises NetcError E103 for an even window."""
        result = super().from_caffe(layer)
        if result.local_size % 2 == 0:
            fail(f"`local_size` is {result.local_size}: it must be odd", code="E103", field="local_size")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The bottom's shape. Raises NetcError E102 unless it has 4 axes."""
        if len(bottoms[0]) != 4:
            fail(f"`LRN` expects a bottom with 4 axes (n, c, h, w), got {len(bottoms[0])}", field="bottom")
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One square, the additions of a window, one scaling, power and multiplication per element."""
        window = self.local_size * (1 if self.norm_region == "ACROSS_CHANNELS" else 2)
        return Cost(operations=product(tops[0]) * (window + 4))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.local_response import LocalResponse

        across = self.norm_region == "ACROSS_CHANNELS"
        axes, k = ((1,), self.k) if across else ((2, 3), 1.0)
        factor = self.alpha / self.local_size ** len(axes)
        top: Tensor = LocalResponse.apply(bottoms[0], self.local_size, axes, factor, self.beta, k)  # type: ignore[no-untyped-call]
        return top


@register("MVN", field="mvn_param", v1="MVN")
@dataclass(frozen=True)
class MVN(Layer):
    """Subtracts the mean of each plane, and divides by its standard deviation plus `eps`.

    Shapes: (n, c, h, w) to the same; the top always has 4 axes; those that the bottom lacks have extent 1.

    >>> MVN().infer(((2, 3, 7, 6),), 1), MVN().infer(((2, 3),), 1)
    (((2, 3, 7, 6),), ((2, 3, 1, 1),))

    Reference: `mvn_layer.cpp`.
    """

    normalize_variance: bool = True
    """Whether to divide by the standard deviation; if false, only the mean is subtracted."""
    across_channels: bool = False
    """Whether the mean is computed over the whole image instead of each channel."""
    eps: float = 1e-9
    """Added to the standard deviation before dividing."""

    role: ClassVar[Role] = "inner"
    sees: ClassVar[Sees] = "all"

    def reads_top(self, in_place: bool) -> TopRead:
        """Its normalized values (`mvn_layer.cpp`, Backward_cpu)."""
        return "values"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """The bottom's shape with 4 axes. Raises NetcError E102 if it has more."""
        (bottom,) = bottoms
        if len(bottom) > 4:
            fail(f"`MVN` expects a bottom with at most 4 axes (n, c, h, w), got {len(bottom)}", field="bottom")
        return ((*bottom, *[1] * (4 - len(bottom))),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One addition and one subtraction per element; one square, addition and division for the variance."""
        return Cost(operations=product(tops[0]) * (5 if self.normalize_variance else 2))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.mean_variance import MeanVariance

        (shape,) = self.infer((tuple(bottoms[0].shape),), 1)
        rows = bottoms[0].reshape(product(shape[:1] if self.across_channels else shape[:2]), -1)
        if self.normalize_variance:
            top: Tensor = MeanVariance.apply(rows, self.eps)  # type: ignore[no-untyped-call]
        else:
            top = rows - rows.mean(1, keepdim=True)
        return top.reshape(shape)
