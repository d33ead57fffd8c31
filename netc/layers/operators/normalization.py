"""Normalization by moments or by the responses of neighboring channels: InstanceNorm, GroupNorm, LayerNorm, LRN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import known, product, text
from netc.ir.dtypes import DType
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.operator import Operator
from netc.ir.traits import Role, Sees
from netc.layers._operator_layer import OperatorLayer, axis_of, channel_axis, check_axes, check_order
from netc.layers._operators import operator
from netc.layers.operators.channel_affine import check_channels

if TYPE_CHECKING:
    from torch import Tensor


@operator("LRN")
@dataclass(frozen=True)
class LocalResponseNorm(OperatorLayer):
    """y = x scale^-beta; scale is `bias` plus alpha / size times the sum of squares of `size` neighboring channels.

    The second output is the scale, without gradient.

    Shapes: (n, c, h, w), or (n, h, w, c) in order NHWC, kept, for both outputs.

    >>> LocalResponseNorm(size=3).infer(((2, 5, 4, 4),), 2)
    ((2, 5, 4, 4), (2, 5, 4, 4))

    Reference: `local_response_normalization_op.cc`.
    """

    size: int = 0
    """Number of channels, odd."""
    alpha: float = 0.0
    """Factor of the mean of squares."""
    beta: float = 0.0
    """Negated exponent of the scale."""
    bias: float = 1.0
    """Added to the mean of squares."""
    order: str = "NCHW"
    """Which axis is that of the channels."""

    top_count: ClassVar[Count] = Count(1, 2)
    computes_asked_tops: ClassVar[bool] = True
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a size that is not odd and for an unknown order."""
        check_order(self.order)
        if self.size < 1 or self.size % 2 == 0:
            fail(f"`size` is {self.size}: it must be an odd number", code="E103", field="size")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 unless the input has 4 axes."""
        check_axes("LRN", bottoms[0], 4)
        return bottoms * 2

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One square, the additions of a window, one scaling, power and multiplication per element."""
        return Cost(operations=product(tops[0]) * (self.size + 4))

    def forward(
        self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Computed as described in the class docstring."""
        from netc.functions.local_response import LocalResponse

        axes, factor = (channel_axis(self.order, 4),), self.alpha / self.size
        both = mode.tops > 1
        found: Tensor | tuple[Tensor, Tensor] = LocalResponse.apply(  # type: ignore[no-untyped-call]
            bottoms[0], self.size, axes, factor, self.beta, self.bias, both
        )
        return found


@operator("InstanceNorm")
@dataclass(frozen=True)
class InstanceNorm(OperatorLayer):
    """Each channel of each image minus its mean, divided by its standard deviation, times a factor, plus an addend.

    The second and third output are the means and the inverses of sqrt(variance + epsilon), without gradient.

    Shapes: X (n, c, ...), or (n, ..., c) in order NHWC, c factors, c addends to X, (n, c), (n, c).

    >>> InstanceNorm().infer(((2, 3, 4, 5), (3,), (3,)), 3)
    ((2, 3, 4, 5), (2, 3), (2, 3))

    Reference: `instance_norm_op.h`; Ulyanov et al., Instance Normalization, 2016.
    """

    epsilon: float = 1e-5
    """Added to the biased variance before the square root."""
    order: str = "NCHW"
    """Which axis of X is that of the channels."""

    bottom_count: ClassVar[Count] = Count(3)
    top_count: ClassVar[Count] = Count(1, 3)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a negative epsilon and for an unknown order."""
        check_order(self.order)
        if self.epsilon < 0:
            fail(f"`epsilon` is {self.epsilon:g}: it must not be negative", code="E103", field="epsilon")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an X without channels, and other numbers of factors or addends."""
        channels = check_channels("InstanceNorm", bottoms, self.order)
        moments = (bottoms[0][0], channels)
        return (bottoms[0], moments, moments)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four operations for the moments and four for the normalization, per element."""
        return Cost(operations=8 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        channels = bottoms[0].shape[channel_axis(self.order, bottoms[0].dim())]
        return by_groups(bottoms, self.order, channels, self.epsilon)


@operator("GroupNorm")
@dataclass(frozen=True)
class GroupNorm(OperatorLayer):
    """Groups of channels minus their mean, divided by their standard deviation; each channel then is mapped affinely.

    The second and third output are the means and the inverses of sqrt(variance + epsilon), without gradient.

    Shapes: X (n, c, ...), or (n, ..., c) in order NHWC, c factors, c addends to X, (n, group), (n, group).

    >>> GroupNorm(group=3).infer(((2, 6, 4, 5), (6,), (6,)), 3)
    ((2, 6, 4, 5), (2, 3), (2, 3))

    Reference: `group_norm_op.h`; Wu and He, Group Normalization, 2018.
    """

    group: int = 32
    """Number of groups; the argument `num_groups` is not read."""
    epsilon: float = 1e-5
    """Added to the biased variance before the square root."""
    order: str = "NCHW"
    """Which axis of X is that of the channels."""
    is_test: bool = True
    """Whether the second and third output may be left out."""

    bottom_count: ClassVar[Count] = Count(3)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an unknown order and for fewer groups than one."""
        check_order(self.order)
        if self.group < 1:
            fail(f"`group` is {self.group}: it must be at least 1", code="E103", field="group")

    @property
    def top_count(self) -> Count:  # type: ignore[override]
        """Three unless `is_test`."""
        return Count(1, 3) if self.is_test else Count(3)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for channels that cannot be divided, and other numbers of factors or addends."""
        channels = check_channels("GroupNorm", bottoms, self.order)
        if known(channels) and channels % self.group:
            fail(
                f"the {channels} channels of X{text(bottoms[0])} cannot be divided into {self.group} groups",
                field="input",
                help="set the argument `group`",
            )
        moments = (bottoms[0][0], self.group)
        return (bottoms[0], moments, moments)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four operations for the moments and four for the normalization, per element."""
        return Cost(operations=8 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        return by_groups(bottoms, self.order, self.group, self.epsilon)


def by_groups(bottoms: Sequence[Tensor], order: str, groups: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return X normalized by groups of channels, their means, and the inverses of sqrt(variance + epsilon)."""
    import torch

    x, factor, addend = bottoms
    axis = channel_axis(order, x.dim())
    images = (x if axis == 1 else x.movedim(axis, 1)).contiguous()
    n, channels = images.shape[:2]
    extent = product(tuple(images.shape[2:]))
    if not images.numel():
        return x.clone(), x.new_zeros(n, groups), x.new_zeros(n, groups)
    y, mean, inverse = torch.native_group_norm(
        images, factor.reshape(-1), addend.reshape(-1), n, channels, extent, groups, epsilon
    )
    return y if axis == 1 else y.movedim(1, axis), mean.detach(), inverse.detach()


@operator("LayerNorm")
@dataclass(frozen=True)
class LayerNorm(OperatorLayer):
    """The axes from `axis` on minus their mean, divided by their standard deviation.

    With `elementwise_affine` each element is then multiplied by a factor and added to an addend. The second and third
    output are the means and the standard deviations, sqrt(variance + epsilon), without gradient.

    Shapes: X, and perhaps factors and addends of as many elements as X from `axis` on, to X and twice (X's extents
    before `axis`, 1).

    >>> LayerNorm(axis=2).infer(((2, 3, 4, 5),), 3)
    ((2, 3, 4, 5), (2, 3, 1), (2, 3, 1))

    Reference: `layer_norm_op.h`; Ba et al., Layer Normalization, 2016.
    """

    axis: int = 1
    """The first axis that is normalized."""
    epsilon: float = 1e-5
    """Added to the biased variance before the square root."""
    elementwise_affine: bool = False
    """Whether the second and third input are read."""

    accepts: ClassVar[tuple[frozenset[DType], ...]] = (frozenset(("float32", "float64")),)
    bottom_count: ClassVar[Count] = Count(1, 3)
    top_count: ClassVar[Count] = Count(3)
    role: ClassVar[Role] = "inner"
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "all"

    @classmethod
    def from_caffe2(cls, operator: Operator) -> Self:
        """Raises NetcError E101 for `elementwise_affine` without its inputs, E020 for factors without addends."""
        layer = super().from_caffe2(operator)
        if len(operator.inputs) == 2:
            operator.fail("`LayerNorm` expects 1 or 3 inputs, got 2", code="E020")
        if layer.elementwise_affine and len(operator.inputs) < 3:
            operator.fail("`elementwise_affine` needs factors and addends as inputs", "elementwise_affine", code="E101")
        return layer

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for fewer than 2 axes and for other numbers of factors, E103 for the axis."""
        x = bottoms[0]
        axis = axis_of("LayerNorm", self.axis, len(x))
        if len(x) < 2:
            fail(f"`LayerNorm` expects an X with at least 2 axes, got {len(x)}", field="input")
        if self.elementwise_affine:
            features = product(x[axis:])
            check_channels("LayerNorm", ((1, features), *bottoms[1:]), "NCHW")
        moments = (*x[:axis], 1)
        return (x, moments, moments)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Four operations for the moments and two for the normalization, per element, and two for factor and addend."""
        return Cost(operations=(8 if self.elementwise_affine else 6) * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        import torch

        x = bottoms[0]
        axis = self.axis % x.dim()
        shape, moments = x.shape[axis:], (*x.shape[:axis], 1)
        factor, addend = (bottom.reshape(shape) for bottom in bottoms[1:]) if self.elementwise_affine else (None, None)
        y, mean, inverse = torch.native_layer_norm(x, shape, factor, addend, self.epsilon)
        return y, mean.detach().reshape(moments), inverse.detach().reciprocal().reshape(moments)
