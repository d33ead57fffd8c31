"""Writes events as TensorBoard scalars: `train/loss`, `train/learning_rate`, `train/OUTPUT`, `test0/OUTPUT`, ...

Needs the package `tensorboard` (extra `tensorboard`).
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError, visible
from netc.extras import import_extra
from netc.files import reason_of
from netc.training.log.events import Event, IterationDisplayed, Output, RunStarted, TestFinished
from netc.training.log.iteration_records import IterationRecord, IterationRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class TensorBoardWriter:
    """A listener that writes scalars into a folder, which `tensorboard --logdir` shows.

    The step of a scalar is its iteration. A run that resumes from a snapshot replaces what an earlier run wrote after
    it. Raises NetcError E633 if `tensorboard` is not installed, E632 if the folder cannot be written to, and OSError if
    events cannot be written later.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._images = 0
        self._recorder = IterationRecorder(self._recorded)
        try:
            self._file = EventFile(self.folder)
        except NetcError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL
            problem = reason_of(error)
            raise NetcError(f"`{self.folder}` cannot be written to: {problem}", code="E632") from None

    def __call__(self, event: Event) -> None:
        """Write the scalars of an event, if it has any."""
        self._recorder(event)
        if isinstance(event, RunStarted):
            self._images = event.images_per_iteration
            if event.iteration:
                self._file.resume(event.iteration)
        elif isinstance(event, IterationDisplayed):
            self._displayed(event)
        elif isinstance(event, TestFinished):
            self._tested(event)

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def _recorded(self, record: IterationRecord) -> None:
        self._file.add_scalar("train/loss", record.loss, record.iteration)
        self._file.add_scalar("train/learning_rate", record.learning_rate, record.iteration)

    def _displayed(self, event: IterationDisplayed) -> None:
        self._file.add_scalar("train/average_loss", event.loss, event.iteration)
        for name, value in columns(event.outputs):
            self._file.add_scalar(f"train/outputs/{name}", value, event.iteration)
        if event.seconds and event.iterations:
            speed = event.iterations / event.seconds
            self._file.add_scalar("speed/iterations_per_second", speed, event.iteration)
            if self._images:
                self._file.add_scalar("speed/images_per_second", speed * self._images, event.iteration)
        self._file.flush()

    def _tested(self, event: TestFinished) -> None:
        for name, value in columns(event.outputs):
            self._file.add_scalar(f"test{event.net}/{name}", value, event.iteration)
        self._file.flush()


class EventFile:
    """A file of TensorBoard's events, written at once, so that errors are raised where they occur.

    torch's and tensorboard's writers write in a thread, which ends with a traceback when the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._events, self._summaries = _module("compat.proto.event_pb2"), _module("compat.proto.summary_pb2")
        record_writer = _module("summary.writer.record_writer")
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._writer = record_writer.RecordWriter(self._file)
        self._add(file_version="brain.Event:2")
        self.flush()

    def resume(self, iteration: int) -> None:
        """Mark that the run resumes at an iteration: TensorBoard drops later steps of earlier files."""
        kind = self._events.SessionLog
        self._add(step=iteration, session_log=kind(status=kind.START))
        self.flush()

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Append a scalar."""
        kind = self._summaries.Summary
        self._add(step=step, summary=kind(value=[kind.Value(tag=visible(tag), simple_value=value)]))

    def flush(self) -> None:
        """Write what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def _add(self, **fields: Any) -> None:
        record = self._events.Event(wall_time=time.time(), **fields)
        self._writer.write(record.SerializeToString())


def _module(name: str) -> Any:
    return import_extra(f"tensorboard.{name}", "tensorboard", "TensorBoard output", "tensorboard")


def columns(outputs: Sequence[Output]) -> Iterator[tuple[str, float]]:
    """Yield a unique name for each element: `accuracy`, `accuracy.1`, ...

    >>> list(columns([Output("accuracy", 0.5), Output("accuracy", 0.75)]))
    [('accuracy', 0.5), ('accuracy.1', 0.75)]
    """
    seen: Counter[str] = Counter()
    for output in outputs:
        yield output.blob + (f".{seen[output.blob]}" if seen[output.blob] else ""), output.value
        seen[output.blob] += 1
