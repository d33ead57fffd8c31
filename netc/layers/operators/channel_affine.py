"""Affine functions of channels or features with factors that are inputs, and division by norms along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.traits import Sees
from netc.layers._operator_layer import (
    OperatorLayer,
    TypedOperator,
    axis_of,
    channel_axis,
    check_axes,
    check_order,
    check_shape,
)
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


def check_channels(name: str, bottoms: Shapes, order: str, axes: int = 2) -> int:
    """Return the number of channels of X, the first input, which must have at least that many axes.

    Raises NetcError E102 unless each of the others has one element for each channel.
    """
    x = bottoms[0]
    if len(x) < axes:
        fail(f"`{name}` expects an X with at least {axes} axes, got {len(x)}", field="input")
    channels = x[channel_axis(order, len(x))]
    for index, shape in enumerate(bottoms[1:], 1):
        if differ(product(shape), channels):
            fail(
                f"input {index} of `{name}` has shape {text(shape)}, but X{text(x)} {channels} channels", field="input"
            )
    return channels


@operator("AffineChannel")
@dataclass(frozen=True)
class AffineChannel(OperatorLayer):
    """Each channel times a factor, plus an addend.

    Shapes: X (n, c, ...), or (n, ..., c) in order NHWC, c factors, c addends to X.

    >>> AffineChannel().infer(((2, 3, 4), (3,), (3,)), 1)
    ((2, 3, 4),)

    Reference: `affine_channel_op.h`.
    """

    order: str = "NCHW"
    """Which axis of X is that of the channels."""
    is_learnable: bool = False
    """Whether factors and addends have gradients; the output may then not overwrite X."""

    bottom_count: ClassVar[Count] = Count(3)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an unknown order."""
        check_order(self.order)

    @property
    def in_place_pairs(self) -> tuple[tuple[int, int], ...]:  # type: ignore[override]
        """None if the factors are learned: their gradient needs X."""
        return () if self.is_learnable else ((0, 0),)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an X without channels, and other numbers of factors or addends."""
        check_channels("AffineChannel", bottoms, self.order)
        return bottoms[:1]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x, factor, addend = bottoms
        if not self.is_learnable and torch.is_grad_enabled():
            factor, addend = factor.detach(), addend.detach()
        shape = (-1, *(1,) * (x.dim() - 1 - channel_axis(self.order, x.dim())))
        return torch.addcmul(addend.reshape(shape), x, factor.reshape(shape))


@operator("ElementwiseLinear")
@dataclass(frozen=True)
class ElementwiseLinear(OperatorLayer):
    """Each feature times a factor, plus an addend; the features are the elements of the axes from `axis` on.

    Shapes: X, w (d), b (d) to X; d is the product of the extents from `axis` on.

    >>> ElementwiseLinear().infer(((2, 3, 4), (12,), (12,)), 1)
    ((2, 3, 4),)

    Reference: `elementwise_linear_op.cc`.
    """

    axis: int = 1
    """The first axis of the features."""

    bottom_count: ClassVar[Count] = Count(3)
    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for other numbers of factors or addends, E103 for an axis that is out of range."""
        x = bottoms[0]
        features = product(x[axis_of("ElementwiseLinear", self.axis, len(x)) :])
        for index in (1, 2):
            check_shape("ElementwiseLinear", bottoms[index], (features,), index)
        return (x,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One multiplication and one addition per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch

        x, factor, addend = bottoms
        shape = x.shape[self.axis % x.dim() :]
        return torch.addcmul(addend.reshape(shape), x, factor.reshape(shape))


@operator("Normalize", "NormalizeL1")
@dataclass(frozen=True)
class Normalized(TypedOperator):
    """x divided by its Euclidean norm along `axis`, at least 1e-12, or by the sum of magnitudes (NormalizeL1).

    Where all magnitudes are 0 the result is 0. Caffe2 has no gradient for NormalizeL1.

    Shapes: any, kept.

    >>> Normalized("Normalize", axis=1).infer(((2, 3, 4),), 1)
    ((2, 3, 4),)

    Reference: `normalize_op.h`, `normalize_l1_op.h`.
    """

    axis: int = -1
    """The axis."""

    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range."""
        axis_of(self.type, self.axis, len(bottoms[0]))
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One square or magnitude, addition and division per element."""
        return Cost(operations=3 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        if self.type == "Normalize":
            return F.normalize(bottoms[0], 2, self.axis, 1e-12)
        return F.normalize(bottoms[0], 1, self.axis, 1e-37)


@operator("NormalizePlanarYUV")
@dataclass(frozen=True)
class NormalizePlanarYUV(OperatorLayer):
    """Each channel of each image minus a mean, divided by a standard deviation.

    Shapes: X (n, c, h, w), means (m, c), deviations (m, c) to X; only the first row of each is read.

    >>> NormalizePlanarYUV().infer(((2, 3, 4, 5), (1, 3), (1, 3)), 1)
    ((2, 3, 4, 5),)

    Reference: `norm_planar_yuv_op.cc`.
    """

    bottom_count: ClassVar[Count] = Count(3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    no_gradient = (1, 2)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an X without 4 axes, and for other numbers of means or deviations."""
        check_axes("NormalizePlanarYUV", bottoms[0], 4)
        for index in (1, 2):
            check_axes("NormalizePlanarYUV", bottoms[index], 2, index)
            if differ(bottoms[index][1], bottoms[0][1]):
                check_shape("NormalizePlanarYUV", bottoms[index], (bottoms[index][0], bottoms[0][1]), index)
        return bottoms[:1]

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x, mean, deviation = bottoms
        return (x - mean[0].detach()[:, None, None]) / deviation[0].detach()[:, None, None]
