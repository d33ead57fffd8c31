"""The loss that the log shows, and the watch over it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from netc.diagnostics import NetcError

PENDING = 1000
"""Iterations whose losses may wait on a device that nobody reads."""


class LossMeter:
    """Averages the loss over `average_loss` iterations (`solver.cpp`, UpdateSmoothedLoss), and refuses NaN.

    On a CPU a loss is looked at as it comes; on another device only when somebody asks, so that the device need not
    be waited for. `measured` is called with iteration and loss of each.
    """

    def __init__(
        self, window: int, blobs: Sequence[str], measured: Callable[[int, float], None] = lambda iteration, loss: None
    ) -> None:
        self.window, self.blobs, self.measured = window, tuple(blobs), measured
        self.smoothed = 0.0
        self._losses: list[float] = []
        self._start = 0
        self._pending: list[tuple[int, Tensor]] = []

    def restart(self, iteration: int) -> None:
        """Begin a new average."""
        self.smoothed, self._losses, self._start, self._pending = 0.0, [], iteration, []

    def add(self, iteration: int, losses: Sequence[Tensor]) -> None:
        """Take the parts of an iteration's loss, by blob. Raises NetcError E701 for NaN and infinity."""
        if all(loss.device.type == "cpu" for loss in losses):
            self._take(iteration, [loss.item() for loss in losses])
            return
        self._pending.append((iteration, torch.stack(list(losses))))
        if len(self._pending) >= PENDING:
            self.flush()

    def flush(self) -> None:
        """Look at all losses so far; waits for the device. Raises NetcError E701."""
        pending, self._pending = self._pending, []
        if pending:
            for (iteration, _), parts in zip(pending, torch.stack([losses for _, losses in pending]).tolist()):
                self._take(iteration, parts)

    def value(self) -> float:
        """The average. Raises NetcError E701."""
        self.flush()
        return self.smoothed

    def state(self) -> dict[str, Any]:
        """For a snapshot; plain JSON."""
        self.flush()
        return {"smoothed": self.smoothed, "losses": self._losses, "start": self._start}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another meter gave this state."""
        self.smoothed, self._losses, self._start = state["smoothed"], list(state["losses"]), state["start"]

    def _take(self, iteration: int, parts: Sequence[float]) -> None:
        loss = sum(parts)
        if not math.isfinite(loss):
            self._refuse(iteration, parts)
        self.measured(iteration, loss)
        if len(self._losses) < self.window:
            self._losses.append(loss)
            size = len(self._losses)
            self.smoothed = (self.smoothed * (size - 1) + loss) / size
        else:
            at = (iteration - self._start) % self.window
            self.smoothed += (loss - self._losses[at]) / self.window
            self._losses[at] = loss

    def _refuse(self, iteration: int, parts: Sequence[float]) -> None:
        names = [f"`{blob}`" for blob, part in zip(self.blobs, parts) if not math.isfinite(part)]
        bad = next((part for part in parts if not math.isfinite(part)), sum(parts))
        raise NetcError(
            f"the loss is {bad:g} in iteration {iteration}: blob {', '.join(names) or 'sum of all'}",
            code="E701",
            help="`--debug` finds the first such blob; a smaller `base_lr` or `clip_gradients` may help",
        )
