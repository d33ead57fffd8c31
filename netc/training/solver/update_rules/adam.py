"""Adam (`adam_solver.cpp`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.training.solver.update_rules._base import ParameterGroup, UpdateRule
from netc.training.solver.update_rules._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("Adam")
@dataclass(frozen=True)
class Adam(UpdateRule):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²; w = w - lr √(1 - b2^t) / (1 - b1^t) m / (√v + delta).

    b1 is `momentum`, b2 `momentum2`, t the iteration counted from 1 (Kingma and Ba 2015, the form before section 2.1).
    """

    histories: ClassVar[int] = 2

    momentum: float = 0.0
    momentum2: float = 0.999
    delta: float = 1e-8

    def updates(self, group: ParameterGroup, gradients: list[Tensor], rate: float, iteration: int) -> list[Tensor]:
        """See UpdateRule."""
        import torch

        from netc.training.solver.update_rules._foreach import divide

        first, second = group.histories
        torch._foreach_lerp_(first, gradients, 1 - self.momentum)
        torch._foreach_mul_(second, self.momentum2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - self.momentum2)
        correction = self._root(iteration) / (1 - self.momentum ** (iteration + 1))
        return divide(first, second, self.delta, rate * correction)

    def fused_step(
        self, group: ParameterGroup, gradients: list[Tensor], rate: float, decay: float, iteration: int
    ) -> bool:
        """The kernel adds its eps to √v / √(1 - b2^t), so eps is delta divided by that root."""
        import torch

        from netc.training.solver.update_rules._foreach import aligned

        first, second = group.histories
        steps = torch.full((), iteration + 1.0, device=group.parameters[0].device)
        torch._fused_adam_(
            group.parameters,
            aligned(gradients, group.parameters),
            first,
            second,
            [],
            [steps] * len(gradients),
            lr=rate,
            beta1=self.momentum,
            beta2=self.momentum2,
            weight_decay=decay,
            eps=self.delta / self._root(iteration),
            amsgrad=False,
            maximize=False,
        )
        return True

    def _root(self, iteration: int) -> float:
        return math.sqrt(1 - self.momentum2 ** (iteration + 1))
