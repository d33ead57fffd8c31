"""Layer-wise adaptive rate control (LARC): a learning rate per blob, from the norms of its weights and gradient.

Reference: You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, 2017; `sgd_solver.cpp` of NVIDIA's
Caffe (GetLocalRate, ComputeUpdateValue).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Larc:
    """A blob's learning rate is `eta` |w| / |g| times the solver's (`scale`), or the smaller of the two (`clip`).

    It replaces `lr_mult`, where only 0 has an effect. If the norm of a blob or of its gradient is 0, the local rate
    is 1.
    """

    policy: str
    eta: float

    def apply(self, gradients: list[Tensor], parameters: list[Tensor], rate: float, decay: float) -> None:
        """Add weight decay to gradients and scale them, so that an update with `rate` uses each blob's own rate.

        Norms are those of the gradients without weight decay.
        """
        weights, norms = torch._foreach_norm(parameters), torch._foreach_norm(gradients)
        if decay:
            torch._foreach_add_(gradients, parameters, alpha=decay)
        torch._foreach_mul_(gradients, [self.factor(w, g, rate) for w, g in zip(weights, norms)])

    def factor(self, weight: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """Return the ratio of a blob's rate to the solver's.

        >>> Larc("scale", 0.5).factor(torch.tensor(3.0), torch.tensor(2.0), 0.1)
        tensor(0.7500)
        """
        quotient = torch.where((weight > 0) & (gradient > 0), self.eta * weight / gradient, 1.0)
        return quotient if self.policy == "scale" or rate == 0 else torch.clamp(quotient / rate, max=1.0)


@dataclass(frozen=True)
class LocalRate:
    """A blob's learning rate is `ratio` |w| / (|g| + `weight_decay` |w|) times the solver's; otherwise as `Larc`.

    Reference: `sgd_solver.cpp` of Intel's Caffe (GetLocalRate with `local_lr_auto`).
    """

    ratio: float
    weight_decay: float

    def apply(self, gradients: list[Tensor], parameters: list[Tensor], rate: float, decay: float) -> None:
        """As `Larc.apply`; norms are those of the gradients with weight decay."""
        if decay:
            torch._foreach_add_(gradients, parameters, alpha=decay)
        weights, norms = torch._foreach_norm(parameters), torch._foreach_norm(gradients)
        torch._foreach_mul_(gradients, [self.factor(w, g) for w, g in zip(weights, norms)])

    def factor(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Return the ratio of a blob's rate to the solver's.

        >>> LocalRate(0.5, 0.1).factor(torch.tensor(10.0), torch.tensor(4.0))
        tensor(1.)
        """
        quotient = self.ratio * weight / (gradient + self.weight_decay * weight)
        return torch.where((weight > 0) & (gradient > 0), quotient, 1.0)
