"""The speed of a run and its remaining time."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.training.log.events import RunStarted


class TrainingSpeed:
    """Iterations and images per second over the last few seconds, and the remaining time.

    >>> from netc.training.log.events import RunStarted
    >>> started = RunStarted("lenet", "fixed", iteration=0, max_iter=100, images_per_iteration=64)
    >>> speed = TrainingSpeed(started, now=iter([0.0, 2.0]).__next__)
    >>> speed.update(25)
    >>> str(speed)
    '12.5 iter/s, 800 images/s, 0:00:06 left'
    """

    WINDOW = 5.0
    """Seconds to average over: short enough to show the effect of tests and snapshots."""

    def __init__(self, started: RunStarted, now: Callable[[], float] = time.monotonic) -> None:
        self.images, self.max_iter, self.now = started.images_per_iteration, started.max_iter, now
        self.iteration = started.iteration
        self._marks: deque[tuple[float, int]] = deque([(now(), started.iteration)])

    def update(self, iteration: int) -> None:
        """Record that an iteration has finished."""
        self.iteration = iteration
        self._marks.append((self.now(), iteration))
        while len(self._marks) > 2 and self._marks[-1][0] - self._marks[1][0] > self.WINDOW:
            self._marks.popleft()

    @property
    def iterations_per_second(self) -> float:
        """0 before the first iteration."""
        (begin, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    @property
    def images_per_second(self) -> float:
        """Images, or other items of a batch, over all processes."""
        return self.iterations_per_second * self.images

    @property
    def seconds_left(self) -> float | None:
        """Estimated time until `max_iter`; None before the first iteration."""
        rate = self.iterations_per_second
        return (self.max_iter - self.iteration) / rate if rate else None

    def __str__(self) -> str:
        """The text of a progress bar."""
        rate, left = self.iterations_per_second, self.seconds_left
        text = f"{rate:.3g} iter/s" if rate >= 1 or not rate else f"{1 / rate:.3g} s/iter"
        images = self.images_per_second
        if self.images:
            text += f", {images:,.0f} images/s" if images >= 1000 else f", {images:.3g} images/s"
        return text if left is None else f"{text}, {format_duration(left)} left"


def format_duration(seconds: float) -> str:
    """A duration in days, hours, minutes and seconds.

    >>> format_duration(93784)
    '1 day 2:03:04'
    """
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return text if not days else f"{days} day{'s' * (days > 1)} {text}"
