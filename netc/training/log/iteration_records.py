"""One record per iteration, assembled from events that arrive at different times."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.training.log.events import Event, IterationFinished, LossMeasured

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class IterationRecord(Event):
    """The numbers of one iteration."""

    iteration: int
    loss: float
    """The loss of this iteration alone."""
    learning_rate: float
    """The learning rate of its update."""


class IterationRecorder:
    """A listener that joins an iteration's learning rate with its loss, which may arrive much later.

    `on_record` is called with an IterationRecord for each iteration, in order. Losses on a GPU are read only when a log
    line, a test or a snapshot is due, to avoid waiting for the GPU; records are complete only then.
    """

    def __init__(self, on_record: Callable[[IterationRecord], None]) -> None:
        self.on_record = on_record
        self._losses: deque[LossMeasured] = deque()
        self._rates: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        """Process an event; events without numbers of an iteration are ignored."""
        if isinstance(event, LossMeasured):
            self._losses.append(event)
        elif isinstance(event, IterationFinished):
            self._rates[event.iteration - 1] = event.learning_rate
        else:
            return
        while self._losses and self._losses[0].iteration in self._rates:
            measured = self._losses.popleft()
            self.on_record(IterationRecord(measured.iteration, measured.loss, self._rates.pop(measured.iteration)))
