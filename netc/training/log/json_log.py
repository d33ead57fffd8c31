"""What a run tells, for whoever reads it later: per-iteration numbers from events, and a file of JSON lines.

    {"event": "iteration", "time": 1763674000.5, "iteration": 7, "loss": 0.31, "rate": 0.01}
    {"event": "test_finished", "time": 1763674003.1, "iteration": 100, "net": 0, "outputs": [...], ...}

One line an iteration, and one for every other event but those that only repeat Caffe's prose. Numbers that JSON has no
word for (NaN, infinities) are null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from netc.diagnostics import NetcError
from netc.training.log.events import Event, IterationFinished, Listener, LogNote, LossMeasured, RunStarted


def all_of(listeners: Sequence[Listener]) -> Listener:
    """One listener that hands every event on to each of several."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


@dataclasses.dataclass(frozen=True)
class Trained(Event):
    """An iteration, with its numbers."""

    iteration: int
    loss: float
    """Of this iteration alone."""
    rate: float


class Iterations:
    """Puts together what is told of an iteration: its learning rate as it ends, its loss perhaps long after.

    `tell` gets a Trained for each iteration, in order. A device's losses are read when a log line, a test or a snapshot
    is due; until then they wait, so that nobody waits for the device.
    """

    def __init__(self, tell: Callable[[Trained], None]) -> None:
        self.tell = tell
        self._losses: deque[LossMeasured] = deque()
        self._rates: dict[int, float] = {}

    def __call__(self, event: Event) -> None:
        """Take an event; those that say nothing of an iteration are passed over."""
        if isinstance(event, LossMeasured):
            self._losses.append(event)
        elif isinstance(event, IterationFinished):
            self._rates[event.iteration - 1] = event.rate
        else:
            return
        while self._losses and self._losses[0].iteration in self._rates:
            measured = self._losses.popleft()
            self.tell(Trained(measured.iteration, measured.loss, self._rates.pop(measured.iteration)))


class JsonWriter:
    """A listener that writes a JSON object a line, behind what the file already holds: a resumed run goes on in it.

    Raises NetcError E632 where the file cannot be written.
    """

    def __init__(self, path: str | Path, now: Callable[[], float] = time.time) -> None:
        self.now = now
        try:
            self._file: TextIO = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115, a listener's lifetime
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise NetcError(f"`{path}` cannot be written: {problem}", code="E632") from None
        self._iterations = Iterations(lambda trained: self._write("iteration", trained))

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        self._iterations(event)
        if not isinstance(event, (IterationFinished, LossMeasured, LogNote)):
            self._write(_NAME_PART.sub("_", type(event).__name__).lower(), event)

    def _write(self, kind: str, event: Event) -> None:
        content = {"event": kind, "time": round(self.now(), 6), **dataclasses.asdict(event)}
        self._file.write(json.dumps(_finite(content), allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_NAME_PART = re.compile(r"(?<!^)(?=[A-Z])")
"""Where a word begins in a class name: `TestFinished` is written as `test_finished`."""


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


class Pace:
    """How fast a run goes: iterations and images a second over the last few seconds, and the time that is left."""

    WINDOW = 5.0
    """Seconds that the pace is taken over, so that tests and snapshots show."""

    def __init__(self, started: RunStarted, now: Callable[[], float] = time.monotonic) -> None:
        self.images, self.max_iter, self.now = started.images, started.max_iter, now
        self.iteration = started.iteration
        self._marks: deque[tuple[float, int]] = deque([(now(), started.iteration)])

    def advance(self, iteration: int) -> None:
        """An iteration is done."""
        self.iteration = iteration
        self._marks.append((self.now(), iteration))
        while len(self._marks) > 2 and self._marks[-1][0] - self._marks[1][0] > self.WINDOW:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """Iterations a second."""
        (begin, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - begin) if end > begin else 0.0

    @property
    def images_per_second(self) -> float:
        """Images, or what else the rows of a batch are, a second, over all ranks."""
        return self.rate * self.images

    @property
    def seconds_left(self) -> float | None:
        """Until `max_iter`, at this pace; None where there is no telling yet."""
        return (self.max_iter - self.iteration) / self.rate if self.rate else None

    def __str__(self) -> str:
        """As a progress bar shows it.

        >>> pace = Pace(RunStarted("lenet", "fixed", 0, 100, images=64), now=iter([0.0, 2.0]).__next__)
        >>> pace.advance(25)
        >>> str(pace)
        '12.5 iter/s, 800 images/s, 0:00:06 left'
        """
        rate = f"{self.rate:.3g} iter/s" if self.rate >= 1 or not self.rate else f"{1 / self.rate:.3g} s/iter"
        images = f", {self.images_per_second:.3g} images/s" if self.images else ""
        if self.images_per_second >= 1000:
            images = f", {self.images_per_second:,.0f} images/s"
        left = self.seconds_left
        return rate + images + ("" if left is None else f", {clock(left)} left")


def clock(seconds: float) -> str:
    """A span of time in hours, minutes and seconds.

    >>> clock(93784)
    '1 day 2:03:04'
    """
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return text if not days else f"{days} day{'s' * (days > 1)} {text}"
