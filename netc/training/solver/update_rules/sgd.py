"""Stochastic gradient descent with momentum (`sgd_solver.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("SGD")
@dataclass(frozen=True)
class SGD(UpdateRule):
    """h = momentum h + lr g; w = w - h."""

    decays_frozen_blobs: ClassVar[bool] = False
    supports_larc: ClassVar[bool] = True

    momentum: float = 0.0

    def updates(self, group: ParameterGroup, gradients: list[Tensor], rate: float, iteration: int) -> list[Tensor]:
        """See UpdateRule."""
        import torch

        history = group.histories[0]
        torch._foreach_mul_(history, self.momentum)
        torch._foreach_add_(history, gradients, alpha=rate)
        return history

    def fused_step(
        self, group: ParameterGroup, gradients: list[Tensor], rate: float, decay: float, iteration: int
    ) -> bool:
        """Compute h = momentum h + (1 - dampening) g and w = w - 1 h in one pass over memory.

        Not without momentum, where the kernel keeps no history, and not for the smallest rates, where 1 - dampening
        would be 0.
        """
        import torch

        from netc.training.solver.update_rules._foreach import aligned

        if not (self.momentum and _is_exact(rate)):
            return False
        torch._fused_sgd_(
            group.parameters,
            aligned(gradients, group.parameters),
            group.histories[0],
            weight_decay=decay,
            momentum=self.momentum,
            lr=1.0,
            dampening=1.0 - rate,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        return True


def _is_exact(rate: float) -> bool:
    """Whether 1 - (1 - rate) is the rate to float32's accuracy; not so for 1e-14, which summed losses need.

    >>> _is_exact(0.01), _is_exact(1e-14)
    (True, False)
    """
    return abs(1.0 - (1.0 - rate) - rate) <= 2.0**-25 * rate
