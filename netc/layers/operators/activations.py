"""Activations whose gradient Caffe2 computes from the result: LeakyRelu, Elu, Selu, ReluN, Clip, HardSigmoid, ...

At a kink of the function the gradient is therefore the one that the result 0, or a bound, has in Caffe2's formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.layer import Mode, fail
from netc.ir.traits import Sees
from netc.layers._operator_layer import OperatorLayer
from netc.layers._operators import operator

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 3.4028234663852886e38
"""The largest float32, Clip's default bound."""


@dataclass(frozen=True)
class Activation(OperatorLayer):
    """An activation that may overwrite its input in Caffe2."""

    in_place_pairs: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    sees: ClassVar[Sees] = "place"

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Computed as described in the class docstring."""
        from netc.functions.top_gradient import from_top

        return from_top(bottoms[0], self.value, self.gradient)

    def value(self, x: Tensor) -> Tensor:
        """The result, a new tensor."""
        raise NotImplementedError

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """The gradient of x, from that of the result and the result."""
        raise NotImplementedError


@operator("LeakyRelu")
@dataclass(frozen=True)
class LeakyRelu(Activation):
    """x where x is positive, `alpha` times x elsewhere; the gradient is 1 where the result is 0.

    Shapes: any, kept.

    >>> LeakyRelu().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `leaky_relu_op.cc`.
    """

    alpha: float = 0.01
    """Slope below 0."""

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        import torch.nn.functional as F

        return F.leaky_relu(x, self.alpha)

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """By the sign of the result."""
        return dy.where(y >= 0, dy * self.alpha)


@operator("Elu")
@dataclass(frozen=True)
class Elu(Activation):
    """x where x is positive, `alpha` (exp(x) - 1) elsewhere; the gradient is 1 where the result is 0.

    Shapes: any, kept.

    >>> Elu().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `elu_op.cc`.
    """

    alpha: float = 1.0
    """The negated limit for large negative x."""

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        import torch.nn.functional as F

        return F.elu(x, self.alpha)

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """By the sign of the result."""
        return dy.where(y >= 0, dy * (y + self.alpha))


@operator("Selu")
@dataclass(frozen=True)
class Selu(Activation):
    """`scale` times x where x is positive, `scale` times `alpha` (exp(x) - 1) elsewhere.

    The gradient is `scale` times `alpha` where the result is 0.

    Shapes: any, kept.

    >>> Selu().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `selu_op.cc`; Klambauer et al., Self-Normalizing Neural Networks, 2017.
    """

    alpha: float = 1.6732632423543772
    """The negated limit of the second factor for large negative x."""
    scale: float = 1.0507009873554805
    """The factor, above 1."""

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a factor that is not above 1."""
        if not self.scale > 1:
            fail(f"`scale` is {self.scale:g}: it must be above 1", code="E103", field="scale")

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        import torch.nn.functional as F

        return F.elu(x, self.alpha) * self.scale

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """By the sign of the result."""
        return (dy * self.scale).where(y > 0, dy * (y + self.scale * self.alpha))


@operator("ReluN")
@dataclass(frozen=True)
class ReluN(Activation):
    """x between 0 and `n`, else the nearer bound; the gradient is 0 at the bounds.

    Shapes: any, kept.

    >>> ReluN().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `relu_n_op.cc`.
    """

    n: float = 6.0
    """The largest value, above 0."""

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a bound that is not above 0."""
        if not self.n > 0:
            fail(f"`n` is {self.n:g}: it must be above 0", code="E103", field="n")

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        return x.clamp(0, self.n)

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """1 between the bounds."""
        return dy.masked_fill((y <= 0) | (y >= self.n), 0)


@operator("ThresholdedRelu")
@dataclass(frozen=True)
class ThresholdedRelu(Activation):
    """x where x is above `alpha`, 0 elsewhere; the gradient is the sign of the result.

    Shapes: any, kept.

    >>> ThresholdedRelu().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `thresholded_relu_op.cc`.
    """

    alpha: float = 1.0
    """Smaller values become 0."""

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        import torch.nn.functional as F

        return F.threshold(x, self.alpha, 0.0)

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """The sign: -1 for negative results, which a negative `alpha` lets pass."""
        return dy * y.sign()


@operator("Clip")
@dataclass(frozen=True)
class ClipOperator(Activation):
    """x between `min` and `max`, else the nearer bound; the gradient is 0 at the bounds.

    If `min` is greater than `max`, every element becomes `max`.

    Shapes: any, kept.

    >>> ClipOperator(min=0.0).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `clip_op.cc`.
    """

    min: float = -LARGEST
    """Lower bound."""
    max: float = LARGEST
    """Upper bound."""

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        return x.clamp(self.min, self.max)

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """1 between the bounds."""
        return dy.masked_fill((y <= self.min) | (y >= self.max), 0)


@operator("HardSigmoid")
@dataclass(frozen=True)
class HardSigmoid(Activation):
    """`alpha` x + `beta` between 0 and 1, else the nearer bound; the gradient is 0 at the bounds.

    Shapes: any, kept.

    >>> HardSigmoid().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `hard_sigmoid_op.cc`.
    """

    alpha: float = 0.2
    """Slope."""
    beta: float = 0.5
    """Value at 0."""

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        return (x * self.alpha + self.beta).clamp(0, 1)

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """The slope between the bounds."""
        return (dy * self.alpha).masked_fill((y <= 0) | (y >= 1), 0)


@operator("Softplus")
@dataclass(frozen=True)
class Softplus(Activation):
    """y = log(1 + exp(x)), infinite where exp(x) overflows (x above 88); the gradient is 1 - exp(-y).

    Shapes: any, kept.

    >>> Softplus().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `softplus_op.cc`.
    """

    def value(self, x: Tensor) -> Tensor:
        """The result."""
        return x.exp().log1p()

    def gradient(self, dy: Tensor, y: Tensor) -> Tensor:
        """Without overflow."""
        return dy * (-(-y).expm1())
