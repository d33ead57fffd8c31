"""SeLuDropout: dropout that keeps mean and variance of normalized values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.dims import product
from netc.ir.layer import Cost, Layer, Mode, Shapes
from netc.ir.traits import Role, Sees
from netc.layers._registry import register
from netc.layers.dropout import check_ratio

if TYPE_CHECKING:
    from torch import Tensor


@register("SeLuDropout", dialect="self_normalizing", field="selu_dropout_param")
@dataclass(frozen=True)
class SeLuDropout(Layer):
    """In training a y + b, with `alpha` in place of random elements y; in test the identity.

    With r = `dropout_ratio`: a = ((1 - r) (1 + alpha^2 r))^(-1/2), b = -a r alpha, which keep mean 0 and variance 1.

    Shapes: any, kept.

    >>> SeLuDropout().infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `selu_dropout_layer.cpp` of the self-normalizing networks port of 2017; Klambauer et al.,
    Self-Normalizing Neural Networks, 2017.
    """

    dropout_ratio: float = 0.1
    """The probability that an element is replaced."""
    alpha: float = -1.75809934
    """What it is replaced by: the limit of SeLU for large negative numbers."""

    in_place = True
    role: ClassVar[Role] = "inner"
    is_identity_in_test: ClassVar[bool] = True
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 unless the ratio is at least 0 and less than 1; 0 replaces nothing."""
        check_ratio(self.dropout_ratio)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison, multiplication and addition per element, in training."""
        return Cost(operations=3 * product(bottoms[0]))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """One random number per element in training."""
        import torch

        x, ratio = bottoms[0], self.dropout_ratio
        if not mode.training:
            return x
        a: float = ((1 - ratio) * (1 + self.alpha**2 * ratio)) ** -0.5
        kept = torch.rand_like(x) >= ratio
        return torch.where(kept, x * a, a * self.alpha) - a * ratio * self.alpha


@register("SeLUDropout", dialect="jolibrain", field="selu_dropout_param")
@dataclass(frozen=True)
class SeLUDropout(SeLuDropout):
    """SeLuDropout, as jolibrain's Caffe calls it.

    Shapes: any, kept.

    >>> SeLUDropout(0.05).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `selu_dropout_layer.cpp` of jolibrain's Caffe.
    """
