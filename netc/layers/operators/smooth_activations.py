"""Activations that torch differentiates as Caffe2 does: PRelu, Softsign, Swish, Gelu, Glu, Logit, Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import differ, product, text
from netc.ir.layer import Cost, Count, Mode, Shapes, fail
from netc.ir.traits import Role, Sees
from netc.layers._operator_layer import OperatorLayer, axis_of, channel_axis, check_order
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor


@operator("PRelu")
@dataclass(frozen=True)
class PRelu(OperatorLayer):
    """x where x is positive, a slope times x elsewhere: one slope for each channel, or one for all.

    Shapes: X (n, c, ...), or (..., c) in order NHWC, and c slopes, or one, to X.

    >>> PRelu().infer(((2, 3, 4), (3,)), 1)
    ((2, 3, 4),)

    Reference: `prelu_op.cc`; He et al., Delving Deep into Rectifiers, 2015.
    """

    order: str = "NCHW"
    """Which axis of X is that of the channels."""

    bottom_count: ClassVar[Count] = Count(2)
    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an unknown order."""
        check_order(self.order)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 for an X without a channel axis, and for another number of slopes than of channels."""
        x, slope = bottoms
        axis = channel_axis(self.order, len(x))
        if not 0 <= axis < len(x):
            fail(f"X has shape {text(x)}: it has no channel axis in order {self.order}", field="input")
        slopes = product(slope)
        if slopes != 1 and differ(slopes, x[axis]):
            fail(f"{slopes} slopes for the {x[axis]} channels of X{text(x)}", field="input")
        return (x,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison and one multiplication per element."""
        return Cost(operations=2 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        x, slope = bottoms[0], bottoms[1].reshape(-1)
        if slope.numel() == 1 or channel_axis(self.order, x.dim()) == 1:
            return F.prelu(x, slope)
        return x.where(x > 0, x * slope)


@operator("Softsign")
@dataclass(frozen=True)
class Softsign(OperatorLayer):
    """x / (1 + |x|).

    Shapes: any, kept.

    Reference: `softsign_op.cc`.
    """

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.softsign(bottoms[0])


@operator("Swish")
@dataclass(frozen=True)
class SwishOperator(OperatorLayer):
    """x sigmoid(x).

    Shapes: any, kept.

    Reference: `swish_op.cc`.
    """

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.silu(bottoms[0])


@operator("Gelu")
@dataclass(frozen=True)
class Gelu(OperatorLayer):
    """x times the probability that a standard normal variable is at most x.

    Shapes: any, kept.

    >>> Gelu(fast_gelu=True).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `gelu_op.cc`; Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """

    fast_gelu: bool = False
    """Whether to approximate by x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""

    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.gelu(bottoms[0], approximate="tanh" if self.fast_gelu else "none")


@operator("Glu")
@dataclass(frozen=True)
class Glu(OperatorLayer):
    """The first half of the input along `dim` times the sigmoid of the second; Caffe2 has no gradient.

    Shapes: any to the same with half the extent along `dim`.

    >>> Glu(dim=1).infer(((2, 6, 5),), 1)
    ((2, 3, 5),)

    Reference: `glu_op.cc`; Dauphin et al., Language Modeling with Gated Convolutional Networks, 2016.
    """

    dim: int = -1
    """The axis; -1 is the last, others are counted from the front."""

    overwritable: ClassVar[bool] = True

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 for an axis that is out of range, E102 for an odd extent."""
        (x,) = bottoms
        if self.dim < -1:
            fail(f"`dim` is {self.dim}: it must be -1 or an axis counted from the front", code="E103", field="dim")
        axis = axis_of("Glu", self.dim, len(x), "dim")
        if x[axis] % 2:
            fail(f"X{text(x)} cannot be halved along axis {axis}", field="input")
        return ((*x[:axis], x[axis] // 2, *x[axis + 1 :]),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        import torch.nn.functional as F

        return F.glu(bottoms[0], self.dim)


@operator("Logit")
@dataclass(frozen=True)
class Logit(OperatorLayer):
    """log(x / (1 - x)), x clamped to the range from `eps` to 1 - `eps`; outside, the gradient is 0.

    Shapes: any, kept.

    >>> Logit().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `logit_op.cc`.
    """

    eps: float = 1e-6
    """The least distance from 0 and 1."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    overwritable: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for an `eps` that is not between 0 and 0.5."""
        if not 0 < self.eps < 0.5:
            fail(f"`eps` is {self.eps:g}: it must be between 0 and 0.5", code="E103", field="eps")

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        return bottoms[0].logit(self.eps)


@operator("Softmax")
@dataclass(frozen=True)
class SoftmaxOperator(OperatorLayer):
    """exp(x) divided by the sum of exp(x) over all axes from `axis` on.

    An image (n, c, h, w) is normalized as a whole, where Caffe's layer normalizes each position.

    Shapes: any, kept.

    >>> SoftmaxOperator().infer(((2, 10, 5, 7),), 1)
    ((2, 10, 5, 7),)

    Reference: `softmax_op.cc`.
    """

    axis: int = 1
    """The first axis of those that the sum is over."""

    role: ClassVar[Role] = "score"
    sees: ClassVar[Sees] = "all"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E103 if the input does not have the axis."""
        axis_of("Softmax", self.axis, len(bottoms[0]))
        return bottoms

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, subtraction, exponential, addition and division per element."""
        return Cost(operations=5 * product(tops[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        x = bottoms[0]
        axis = self.axis % x.dim()
        if axis == x.dim() - 1:
            return x.softmax(axis)
        return x.flatten(axis).softmax(axis).reshape(x.shape)
