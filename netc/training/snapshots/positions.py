"""Where a run is in its data and its random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.training.snapshots.sidecar import random_state

if TYPE_CHECKING:
    from netc.training.solver.run_state import RunState


@dataclass(frozen=True)
class Positions:
    """The part of a sidecar that passes change, as plain JSON."""

    iteration: int
    loss: dict[str, Any]
    random: dict[str, Any]
    """The states of the generators of this process."""
    train: dict[str, dict[str, Any]]
    tests: list[dict[str, dict[str, Any]]]

    @staticmethod
    def of(state: RunState) -> Positions:
        """Return the present positions. Raises NetcError E701 for a loss that is NaN."""
        train, *tests = [{key: feed.state() for key, feed in part.feeds.items()} for part in state.nets]
        return Positions(state.iteration, state.loss.state(), random_state(), train, tests)
