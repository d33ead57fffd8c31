"""The averaged loss of the log, and the check for NaN."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_PENDING = 1000
"""The largest number of losses that may stay on the device unread."""


class LossMeter:
    """Averages the loss over `average_loss` iterations (`solver.cpp`, UpdateSmoothedLoss); NaN is an error.

    On a CPU a loss is read at once; on a GPU only when its value is needed, to avoid waiting for the GPU.
    `on_loss` is called with the iteration and the loss of each iteration.
    """

    def __init__(
        self, window: int, blobs: Sequence[str], on_loss: Callable[[int, float], None] = lambda iteration, loss: None
    ) -> None:
        self.window, self.blobs, self.on_loss = window, tuple(blobs), on_loss
        self.smoothed = 0.0
        self._losses: list[float] = []
        self._start = 0
        self._pending: list[tuple[int, Tensor]] = []

    def restart(self, iteration: int) -> None:
        """Start a new average."""
        self.smoothed, self._losses, self._start, self._pending = 0.0, [], iteration, []

    def add(self, iteration: int, losses: Sequence[Tensor]) -> None:
        """Add the parts of an iteration's loss, by blob. Raises NetcError E701 for NaN and infinity."""
        if all(loss.device.type == "cpu" for loss in losses):
            self._record(iteration, [loss.item() for loss in losses])
            return
        self._pending.append((iteration, torch.stack(list(losses))))
        if len(self._pending) >= MAX_PENDING:
            self.flush()

    def flush(self) -> None:
        """Read all pending losses; waits for the device. Raises NetcError E701."""
        pending, self._pending = self._pending, []
        if pending:
            for (iteration, _), parts in zip(pending, torch.stack([losses for _, losses in pending]).tolist()):
                self._record(iteration, parts)

    def value(self) -> float:
        """Return the average. Raises NetcError E701."""
        self.flush()
        return self.smoothed

    def state(self) -> dict[str, Any]:
        """Return the state for a snapshot, as plain JSON."""
        self.flush()
        return {"smoothed": self.smoothed, "losses": list(self._losses), "start": self._start}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state that `state` returned."""
        self.smoothed, self._losses, self._start = state["smoothed"], list(state["losses"]), state["start"]

    def _record(self, iteration: int, parts: Sequence[float]) -> None:
        loss = sum(parts)
        if not math.isfinite(loss):
            self._raise_not_finite(iteration, parts)
        self.on_loss(iteration, loss)
        if len(self._losses) < self.window:
            self._losses.append(loss)
            size = len(self._losses)
            self.smoothed = (self.smoothed * (size - 1) + loss) / size
        else:
            at = (iteration - self._start) % self.window
            self.smoothed += (loss - self._losses[at]) / self.window
            self._losses[at] = loss

    def _raise_not_finite(self, iteration: int, parts: Sequence[float]) -> None:
        names = [f"`{blob}`" for blob, part in zip(self.blobs, parts) if not math.isfinite(part)]
        bad = next((part for part in parts if not math.isfinite(part)), sum(parts))
        raise NetcError(
            f"the loss is {bad:g} in iteration {iteration}: blob {', '.join(names) or 'sum of all'}",
            code="E701",
            help="`--debug` finds the first such blob; a smaller `base_lr` or `clip_gradients` may help",
        )
