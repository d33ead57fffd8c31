"""Layer-wise adaptive rates: each blob's own, after the norms of its weights and its gradient.

Reference: You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, 2017; `sgd_solver.cpp` of NVIDIA's
Caffe (GetLocalRate, ComputeUpdateValue).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Larc:
    """A blob's rate: `eta` |w| / |g| times the solver's (`scale`), or that alone where it is the smaller one (`clip`).

    It takes the place of `lr_mult`, which counts only where it is 0. A blob, or a gradient, of norm 0 counts as if the
    quotient were 1.
    """

    policy: str
    eta: float

    def apply(self, gradients: list[Tensor], parameters: list[Tensor], rate: float, decay: float) -> None:
        """Scale gradients, with weight decay added to them, so that an update with `rate` has the blobs' own rates.

        Norms are of gradients without weight decay.
        """
        weights, norms = torch._foreach_norm(parameters), torch._foreach_norm(gradients)
        if decay:
            torch._foreach_add_(gradients, parameters, alpha=decay)
        torch._foreach_mul_(gradients, [self.factor(w, g, rate) for w, g in zip(weights, norms)])

    def factor(self, weight: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """What a blob's rate is of the solver's.

        >>> Larc("scale", 0.5).factor(torch.tensor(3.0), torch.tensor(2.0), 0.1)
        tensor(0.7500)
        """
        quotient = torch.where((weight > 0) & (gradient > 0), self.eta * weight / gradient, 1.0)
        return quotient if self.policy == "scale" or rate == 0 else torch.clamp(quotient / rate, max=1.0)
