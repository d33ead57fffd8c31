"""Nesterov's accelerated gradient (`nesterov_solver.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Nesterov")
@dataclass(frozen=True)
class Nesterov(UpdateRule):
    """h' = momentum h + lr g; w = w - ((1 + momentum) h' - momentum h), which is w - (momentum h' + lr g)."""

    decays_frozen_blobs: ClassVar[bool] = False
    supports_larc: ClassVar[bool] = True

    momentum: float = 0.0

    def updates(self, group: ParameterGroup, gradients: list[Tensor], rate: float, iteration: int) -> list[Tensor]:
        """See UpdateRule."""
        import torch

        history = group.histories[0]
        torch._foreach_mul_(gradients, rate)
        torch._foreach_mul_(history, self.momentum)
        torch._foreach_add_(history, gradients)
        torch._foreach_add_(gradients, history, alpha=self.momentum)
        return gradients
