"""Where a run is in its data, its random numbers, and the statistics that passes change."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from netc.training.snapshots.recurrent_state import state_of
from netc.training.snapshots.sidecar import random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from netc.training.solver.run_state import RunState


@dataclass(frozen=True)
class Positions:
    """The part of a snapshot that passes change: fields of its sidecar, as plain JSON, and statistics."""

    iteration: int
    loss: dict[str, Any]
    random: dict[str, Any]
    """The states of the generators of this process."""
    train: dict[str, dict[str, Any]]
    tests: list[dict[str, dict[str, Any]]]
    recurrent: list[dict[str, Any]]
    """The state of recurrent layers of each net, of this process."""
    statistics: list[Tensor]
    """Copies of the blobs that are not learned, such as BatchNorm's averages."""

    @staticmethod
    def of(state: RunState) -> Positions:
        """Return the present positions. Raises NetcError E701 for a loss that is NaN."""
        train, *tests = [{key: feed.state() for key, feed in part.feeds.items()} for part in state.nets]
        recurrent = [state_of(part.net) for part in state.nets]
        statistics = [tensor.clone() for tensor in _statistics(state)]
        return Positions(state.iteration, state.loss.state(), random_state(), train, tests, recurrent, statistics)

    @contextlib.contextmanager
    def with_statistics(self, state: RunState) -> Iterator[None]:
        """Replace the statistics by these inside the context."""
        tensors = _statistics(state)
        now = [tensor.clone() for tensor in tensors]
        _copy(tensors, self.statistics)
        try:
            yield
        finally:
            _copy(tensors, now)


def _statistics(state: RunState) -> list[Tensor]:
    return [blob.tensor.detach() for blob in state.net.blobs if blob.is_owner and not blob.weight.learnable]


@torch.no_grad()
def _copy(targets: list[Tensor], values: list[Tensor]) -> None:
    for target, value in zip(targets, values):
        target.copy_(value)
