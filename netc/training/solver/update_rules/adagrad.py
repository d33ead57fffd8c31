"""AdaGrad (`adagrad_solver.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("AdaGrad")
@dataclass(frozen=True)
class AdaGrad(UpdateRule):
    """h = h + g²; w = w - lr g / (√h + delta) (Duchi et al. 2011)."""

    rejected: ClassVar[tuple[str, ...]] = ("momentum",)

    delta: float = 1e-8

    def updates(self, group: ParameterGroup, gradients: list[Tensor], rate: float, iteration: int) -> list[Tensor]:
        """See UpdateRule."""
        import torch

        from netc.training.solver.update_rules._foreach import divide

        history = group.histories[0]
        torch._foreach_addcmul_(history, gradients, gradients)
        return divide(gradients, history, self.delta, rate)
