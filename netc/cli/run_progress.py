"""Who listens to a run on the command line.

Caffe's log on stderr, and on a terminal a progress bar below it, with rate, throughput and time left; a file of JSON
lines, and TensorBoard's files, where they are asked for.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from netc.training.distributed.process_rank import place_of_environment
from netc.training.log.caffe_log import GlogWriter
from netc.training.log.events import (
    Event,
    IterationDisplayed,
    IterationFinished,
    Listener,
    RunFinished,
    RunStarted,
    ignore,
)
from netc.training.log.json_log import JsonWriter, Pace, all_of

REFRESH = 0.1
"""Seconds between two moves of the bar."""


@contextlib.contextmanager
def listeners(log_json: str | None = None, tensorboard: str | None = None) -> Iterator[Listener]:
    """A listener that writes what is asked for while the context lasts, for rank 0; the other ranks say nothing.

    Raises NetcError E632 for a file or folder that cannot be written, E633 where TensorBoard is not installed.
    """
    if place_of_environment().rank:
        yield ignore
        return
    with contextlib.ExitStack() as stack:
        told: list[Listener] = []
        if log_json:
            told.append(stack.enter_context(contextlib.closing(JsonWriter(log_json))))
        if tensorboard:
            from netc.training.log.tensorboard import TensorBoardWriter

            told.append(stack.enter_context(contextlib.closing(TensorBoardWriter(tensorboard))))
        if sys.stderr.isatty():
            told.append(IterationBar(stack.enter_context(_progress())))
        # Last, and made last: rich has put a stream of its own there, which prints above the bar.
        yield all_of([*told, GlogWriter(sys.stderr)])


class IterationBar:
    """A listener that moves a progress bar."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self._task = progress.add_task("training", total=None, loss="", pace="")
        self._pace: Pace | None = None
        self._moved = 0.0

    def __call__(self, event: Event) -> None:
        """Note an event; iterations move the bar a few times a second at most."""
        if isinstance(event, IterationFinished) and self._pace:
            self._pace.advance(event.iteration)
            if time.monotonic() - self._moved >= REFRESH:
                self._move()
        elif isinstance(event, RunStarted):
            self._pace = Pace(event)
            self.progress.update(self._task, total=event.max_iter, completed=event.iteration)
        elif isinstance(event, IterationDisplayed):
            self.progress.update(self._task, loss=f"loss {event.loss:.4g}")
        elif isinstance(event, RunFinished) and self._pace:
            self._move()

    def _move(self) -> None:
        assert self._pace is not None
        self._moved = time.monotonic()
        self.progress.update(self._task, completed=self._pace.iteration, pace=str(self._pace))


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[pace]}"),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
