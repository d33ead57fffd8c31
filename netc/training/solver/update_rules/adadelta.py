"""AdaDelta (`adadelta_solver.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("AdaDelta")
@dataclass(frozen=True)
class AdaDelta(UpdateRule):
    """h = m h + (1 - m) g²; u = g √((k + delta) / (h + delta)); k = m k + (1 - m) u²; w = w - lr u (Zeiler 2012).

    m is `momentum`.
    """

    histories: ClassVar[int] = 2

    momentum: float = 0.0
    delta: float = 1e-8

    def updates(self, group: ParameterGroup, gradients: list[Tensor], rate: float, iteration: int) -> list[Tensor]:
        """See UpdateRule."""
        import torch

        squares, updates = group.histories
        torch._foreach_mul_(squares, self.momentum)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.momentum)
        ratios = torch._foreach_add(updates, self.delta)
        torch._foreach_div_(ratios, torch._foreach_add(squares, self.delta))
        torch._foreach_sqrt_(ratios)
        torch._foreach_mul_(gradients, ratios)
        torch._foreach_mul_(updates, self.momentum)
        torch._foreach_addcmul_(updates, gradients, gradients, 1 - self.momentum)
        torch._foreach_mul_(gradients, rate)
        return gradients
