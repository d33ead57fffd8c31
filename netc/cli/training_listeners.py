"""The listeners of `netc train`.

Caffe's log goes to stderr; on a terminal a progress bar with speed and remaining time is shown below it. A JSON log and
TensorBoard files are written on request.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from netc.cli.glog import log_listener
from netc.training.distributed.process_rank import rank_from_environment
from netc.training.log.events import (
    Event,
    IterationDisplayed,
    IterationFinished,
    Listener,
    RunFinished,
    RunStarted,
    ignore,
)
from netc.training.log.failsafe import FailsafeLogs, TrainingLog
from netc.training.log.json_log import JsonLogWriter
from netc.training.log.training_speed import TrainingSpeed

if TYPE_CHECKING:
    from collections.abc import Iterator

REFRESH = 0.1
"""Seconds between two updates of the progress bar."""


@contextlib.contextmanager
def training_listener(log_json: str | None = None, tensorboard: str | None = None) -> Iterator[Listener]:
    """Yield a listener that writes all logs; on ranks other than 0 it does nothing.

    A log that cannot be written later is dropped with a warning in the others, and the run continues.
    Raises NetcError E632 for a file or folder that cannot be written, E633 if TensorBoard is not installed.
    """
    if rank_from_environment().rank:
        yield ignore
        return
    with contextlib.ExitStack() as stack:
        logs = FailsafeLogs([])
        stack.callback(logs.close)
        if log_json:
            json_log = JsonLogWriter(log_json)
            logs.logs.append(TrainingLog(f"the JSON log `{log_json}`", json_log, json_log.close))
        if tensorboard:
            from netc.training.log.tensorboard import TensorBoardWriter

            scalars = TensorBoardWriter(tensorboard)
            logs.logs.append(TrainingLog(f"the TensorBoard folder `{tensorboard}`", scalars, scalars.close))
        if sys.stderr is not None and sys.stderr.isatty():
            progress = _rich_progress()
            progress.start()
            stack.callback(_stop, progress)
            logs.logs.append(TrainingLog("the progress bar", TrainingProgressBar(progress)))
        # Looked up now: rich has replaced sys.stderr by a stream that prints above the bar.
        logs.logs.append(TrainingLog("the log on standard error", stack.enter_context(log_listener())))
        yield logs


def _stop(progress: Any) -> None:
    """Stop a progress bar, whose terminal may be closed."""
    with contextlib.suppress(OSError):
        progress.stop()


class TrainingProgressBar:
    """A listener that updates a progress bar of rich."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self._task = progress.add_task("training", total=None, loss="", speed="")
        self._speed: TrainingSpeed | None = None
        self._refreshed = 0.0

    def __call__(self, event: Event) -> None:
        """Process an event; iterations update the bar every REFRESH seconds at most."""
        if isinstance(event, IterationFinished) and self._speed:
            self._speed.update(event.iteration)
            if time.monotonic() - self._refreshed >= REFRESH:
                self._refresh(self._speed)
        elif isinstance(event, RunStarted):
            self._speed = TrainingSpeed(event)
            self.progress.update(self._task, total=event.max_iter, completed=event.iteration)
        elif isinstance(event, IterationDisplayed):
            self.progress.update(self._task, loss=f"loss {event.loss:.4g}")
        elif isinstance(event, RunFinished) and self._speed:
            self._refresh(self._speed)

    def _refresh(self, speed: TrainingSpeed) -> None:
        self._refreshed = time.monotonic()
        self.progress.update(self._task, completed=speed.iteration, speed=str(speed))


def _rich_progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[speed]}"),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
