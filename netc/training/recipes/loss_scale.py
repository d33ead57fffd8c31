"""Loss scaling, which keeps small float16 gradients from underflowing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from netc.training.solver.executor import StraightLineExecutor
    from netc.training.solver.optimizer import CaffeOptimizer

INITIAL_SCALE, GROWTH_FACTOR, GROWTH_INTERVAL = 65536.0, 2.0, 2000
"""The defaults of torch.amp; the interval is in updates without overflow."""


class LossScale:
    """Multiplies the loss before the backward pass and divides the gradients after it.

    If a gradient is not finite, the update is skipped and the scale is halved (Micikevicius et al. 2018, section 3.2).
    The device is synchronized in each iteration.
    """

    def __init__(self, executor: StraightLineExecutor, optimizer: CaffeOptimizer) -> None:
        self.executor, self.optimizer = executor, optimizer
        self.good_updates = 0
        self.executor.scale = INITIAL_SCALE

    @property
    def value(self) -> float:
        """The scale of the next backward pass."""
        return self.executor.scale

    def unscale(self) -> bool:
        """Divide the gradients by the scale and choose the next scale; return whether all gradients are finite."""
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
            self.executor.scale, self.good_updates = max(1.0, self.executor.scale / GROWTH_FACTOR), 0
            return
        self.good_updates += 1
        if self.good_updates == GROWTH_INTERVAL:
            self.executor.scale, self.good_updates = self.executor.scale * GROWTH_FACTOR, 0

    def state(self) -> dict[str, Any]:
        """Return the state for a snapshot, as plain JSON."""
        return {"scale": self.executor.scale, "good": self.good_updates}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state that `state` returned."""
        self.executor.scale, self.good_updates = state["scale"], state["good"]
