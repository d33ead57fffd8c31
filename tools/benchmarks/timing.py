"""Times two functions alternately, so that other load on the machine affects both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Action = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Seconds of each round, ours and theirs."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Ours divided by theirs, for each round."""
        return sorted(a / b for a, b in zip(self.ours, self.theirs))

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the rounds' ratios."""
        quarter, _, three = statistics.quantiles(self.ratios, n=4)
        return quarter, three


def alternate(ours: Action, theirs: Action, rounds: int, repeat: int = 1, wait: Action = lambda: None) -> Timing:
    """Time both `rounds` times after a warm-up round; the order alternates from round to round.

    A round calls each `repeat` times. `wait` returns when the device is idle.
    """
    times: dict[Action, list[float]] = {ours: [], theirs: []}
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds + 1):
            for action in (ours, theirs) if number % 2 else (theirs, ours):
                times[action].append(_seconds(action, repeat, wait))
    finally:
        gc.enable()
    return Timing(tuple(times[ours][1:]), tuple(times[theirs][1:]))


def _seconds(action: Action, repeat: int, wait: Action) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(repeat):
        action()
    wait()
    return (time.perf_counter() - start) / repeat
