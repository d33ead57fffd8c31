"""Loss scaling: float16 gradients that are too small to be told from 0 are made larger, and updates made smaller."""

from __future__ import annotations

from typing import Any

import torch

from netc.training.solver.executor import StraightLineExecutor
from netc.training.solver.optimizer import CaffeOptimizer

FIRST, GROWTH, PATIENCE = 65536.0, 2.0, 2000
"""The scale at the start; by what it grows; after how many good updates in a row (torch.amp's numbers)."""


class LossScale:
    """Scales the loss before the backward pass and gradients back after it.

    Where a gradient is not finite the update is left out and the scale halved (Micikevicius et al. 2018, section 3.2).
    The device is waited for in each iteration.
    """

    def __init__(self, executor: StraightLineExecutor, optimizer: CaffeOptimizer) -> None:
        self.executor, self.optimizer = executor, optimizer
        self.good = 0
        self.executor.scale = FIRST

    @property
    def value(self) -> float:
        """The scale of the next backward pass."""
        return self.executor.scale

    def unscale(self) -> bool:
        """Divide the gradients by the scale, and choose the next one; whether all gradients are finite."""
        finite = self._unscale()
        self.adapt(finite)
        return finite

    def _unscale(self) -> bool:
        gradients = [blob.tensor.grad for blob in self.optimizer.blobs if blob.tensor.grad is not None]
        if not gradients:
            return True
        found = torch.zeros((), device=gradients[0].device)
        inverse = torch.full((), 1 / self.executor.scale, device=gradients[0].device)
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, inverse)
        return found.item() == 0

    def adapt(self, finite: bool) -> None:
        """Choose the scale of the next iteration."""
        if not finite:
            self.executor.scale, self.good = max(1.0, self.executor.scale / GROWTH), 0
            return
        self.good += 1
        if self.good == PATIENCE:
            self.executor.scale, self.good = self.executor.scale * GROWTH, 0

    def state(self) -> dict[str, Any]:
        """For a snapshot; plain JSON."""
        return {"scale": self.executor.scale, "good": self.good}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another one gave this state."""
        self.executor.scale, self.good = state["scale"], state["good"]
