"""RMSProp (`rmsprop_solver.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("RMSProp")
@dataclass(frozen=True)
class RMSProp(UpdateRule):
    """h = rms_decay h + (1 - rms_decay) g²; w = w - lr g / (√h + delta) (Tieleman and Hinton 2012)."""

    rejected: ClassVar[tuple[str, ...]] = ("momentum",)

    rms_decay: float = 0.99
    delta: float = 1e-8

    def updates(self, group: ParameterGroup, gradients: list[Tensor], rate: float, iteration: int) -> list[Tensor]:
        """See UpdateRule."""
        import torch

        from netc.training.solver.update_rules._foreach import divide

        history = group.histories[0]
        torch._foreach_mul_(history, self.rms_decay)
        torch._foreach_addcmul_(history, gradients, gradients, 1 - self.rms_decay)
        return divide(gradients, history, self.delta, rate)
