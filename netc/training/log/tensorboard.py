"""Writes events as TensorBoard scalars: `train/loss`, `train/learning_rate`, `train/OUTPUT`, `test0/OUTPUT`, ...

Needs the package `tensorboard` (extra `tensorboard`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.extras import import_extra
from netc.training.log.events import Event, IterationDisplayed, Output, RunStarted, TestFinished
from netc.training.log.iteration_records import IterationRecord, IterationRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class TensorBoardWriter:
    """A listener that writes scalars into a folder, which `tensorboard --logdir` shows.

    The step of a scalar is its iteration. A run that resumes from a snapshot replaces what an earlier run wrote after
    it. Raises NetcError E633 if `tensorboard` is not installed, E632 if the folder cannot be written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self._make = import_extra(
            "torch.utils.tensorboard", "tensorboard", "TensorBoard output", "tensorboard"
        ).SummaryWriter
        self._writer: Any = None
        self._images = 0
        self._recorder = IterationRecorder(self._recorded)
        self._open(None)

    def __call__(self, event: Event) -> None:
        """Write the scalars of an event, if it has any."""
        self._recorder(event)
        if isinstance(event, RunStarted):
            self._images = event.images_per_iteration
            if event.iteration:
                self._open(event.iteration)
        elif isinstance(event, IterationDisplayed):
            self._displayed(event)
        elif isinstance(event, TestFinished):
            self._tested(event)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()

    def _open(self, iteration: int | None) -> None:
        """Start a file, which replaces later steps if it resumes from an iteration."""
        if self._writer is not None:
            self._writer.close()
        try:
            self._writer = self._make(self.folder, purge_step=iteration)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise NetcError(f"`{self.folder}` cannot be written to: {problem}", code="E632") from None

    def _recorded(self, record: IterationRecord) -> None:
        self._writer.add_scalar("train/loss", record.loss, record.iteration)
        self._writer.add_scalar("train/learning_rate", record.learning_rate, record.iteration)

    def _displayed(self, event: IterationDisplayed) -> None:
        self._writer.add_scalar("train/average_loss", event.loss, event.iteration)
        for name, value in columns(event.outputs):
            self._writer.add_scalar(f"train/outputs/{name}", value, event.iteration)
        if event.seconds and event.iterations:
            speed = event.iterations / event.seconds
            self._writer.add_scalar("speed/iterations_per_second", speed, event.iteration)
            if self._images:
                self._writer.add_scalar("speed/images_per_second", speed * self._images, event.iteration)

    def _tested(self, event: TestFinished) -> None:
        for name, value in columns(event.outputs):
            self._writer.add_scalar(f"test{event.net}/{name}", value, event.iteration)
        self._writer.flush()


def columns(outputs: Sequence[Output]) -> Iterator[tuple[str, float]]:
    """Yield a unique name for each element: `accuracy`, `accuracy.1`, ...

    >>> list(columns([Output("accuracy", 0.5), Output("accuracy", 0.75)]))
    [('accuracy', 0.5), ('accuracy.1', 0.75)]
    """
    seen: Counter[str] = Counter()
    for output in outputs:
        yield output.blob + (f".{seen[output.blob]}" if seen[output.blob] else ""), output.value
        seen[output.blob] += 1
