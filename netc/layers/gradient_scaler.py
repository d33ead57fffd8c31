"""GradientScaler: the identity, with a reversed gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.ir.layer import Cost, Layer, Mode, Shapes, StateEntry, fail
from netc.ir.traits import Elements, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("GradientScaler", dialect="gradient_reversal", field="gradient_scaler_param")
@dataclass(frozen=True)
class GradientScaler(Layer):
    """The identity, whose gradient is multiplied by -c; c grows from `lower_bound` to near `upper_bound` in training.

    In the training pass k, from 0, with p = min(k / `max_iter`, 1) and h the distance of the bounds,
    c = 2 h / (1 + exp(-`alpha` p)) - h + `lower_bound`. A pass is an iteration if the solver's `iter_size` is 1.

    Shapes: any, kept.

    >>> GradientScaler(max_iter=100).infer(((2, 3),), 1)
    ((2, 3),)

    Reference: `gradient_scaler_layer.cpp` of Caffe with gradient reversal; Ganin, Lempitsky, Unsupervised Domain
    Adaptation by Backpropagation, 2015.
    """

    lower_bound: float = 0.0
    """c at the start."""
    upper_bound: float = 1.0
    """The limit of c for a large `alpha`."""
    alpha: float = 10.0
    """How fast c grows."""
    max_iter: float = 1.0
    """Iterations after which c stays."""

    in_place = True
    is_identity_in_test: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    def __post_init__(self) -> None:
        """Raises NetcError E103 for crossed bounds, a negative `alpha`, and a `max_iter` below 1."""
        if not self.lower_bound <= self.upper_bound:
            fail(
                f"`lower_bound` {self.lower_bound:g} is above `upper_bound` {self.upper_bound:g}",
                code="E103",
                field="lower_bound",
            )
        if not self.alpha >= 0:
            fail(f"`alpha` is {self.alpha:g}: it must not be negative", code="E103", field="alpha")
        if not self.max_iter >= 1:
            fail(f"`max_iter` is {self.max_iter:g}: it must be at least 1", code="E103", field="max_iter")

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the top is the bottom."""
        return Cost()

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of training passes."""
        return (StateEntry("passes", (), by_mode=False),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Outside training the factor is that of the next training pass."""
        from netc.functions.gradient_scale import GradientScale

        result: Tensor = GradientScale.apply(bottoms[0], -self._factor(bottoms[0], mode))  # type: ignore[no-untyped-call]
        return result

    def _factor(self, x: Tensor, mode: Mode) -> Tensor:
        """The factor c; counts a training pass."""
        import torch

        before = mode.kept("passes", by_mode=False)
        passes = torch.zeros((), device=x.device) if before is None else before
        if mode.training:
            mode.keep("passes", passes + 1, by_mode=False)
        progress = (passes / self.max_iter).clamp_max(1)
        height = self.upper_bound - self.lower_bound
        factor = 2 * height / (1 + (-self.alpha * progress).exp()) - height + self.lower_bound
        return factor.to(x.dtype)
