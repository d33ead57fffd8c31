"""Formats events as Caffe's log lines, with glog's prefix.

    I1120 21:46:35.002187 19748 solver.cpp:239] Iteration 10 (37.7 iter/s, 0.265s/10 iters), loss = 1.92106

Severity and date, time, process, location in the source of Caffe 1.0, message. Scripts that parse Caffe's logs rely on
this format.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from netc.diagnostics import counted, visible
from netc.training.log.events import (
    Event,
    FinalLoss,
    FinetuningLoaded,
    FinetuningStarted,
    GradientsClipped,
    IterationDisplayed,
    LearningRateDisplayed,
    LearningRateStepped,
    LogNote,
    NewBest,
    NewLowestLoss,
    Output,
    PatienceExhausted,
    RestoreStarted,
    RunFinished,
    RunStarted,
    SnapshotStarted,
    TestFinished,
    TestInterrupted,
    TestStarted,
    UpdateSkipped,
    WarningIssued,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Line = tuple[str, str]
"""Location in Caffe's source, and text."""


class GlogWriter:
    """A listener that writes Caffe's lines to a stream."""

    def __init__(self, stream: TextIO, now: Callable[[], datetime] = datetime.now, prefixed: bool = True) -> None:
        """Unless `prefixed`, only messages are written (`--nolog_prefix`)."""
        self.stream, self.now, self.prefixed, self.process = stream, now, prefixed, os.getpid()

    def __call__(self, event: Event) -> None:
        """Write the lines of an event; only notes and rendered diagnostics may have several of their own."""
        keep = "\t\n" if isinstance(event, LogNote) or getattr(event, "rendered", False) else "\t"
        for location, text in lines(event):
            head = prefix(self.now(), self.process, location, severity(event)) if self.prefixed else ""
            self.stream.write(f"{head}{visible(text, keep)}\n")
        self.stream.flush()


def severity(event: Event) -> str:
    """Return glog's letter for the severity of an event: I, W or E."""
    return "W" if isinstance(event, WarningIssued) else str(getattr(event, "severity", "I"))


def prefix(now: datetime, process: int, location: str, severity: str = "I") -> str:
    """Return what glog writes before a message.

    >>> prefix(datetime(2026, 11, 20, 21, 46, 35, 2187), 19748, "solver.cpp:239")
    'I1120 21:46:35.002187 19748 solver.cpp:239] '
    """
    return f"{severity}{now:%m%d %H:%M:%S.%f} {process:5d} {location}] "


def number(value: float) -> str:
    """Format a number as C++ streams do, with at most six digits.

    >>> number(0.01), number(1e-5), number(2409951.0), number(float("nan"))
    ('0.01', '1e-05', '2.40995e+06', 'nan')
    """
    return f"{value:g}"


def lines(event: Event) -> Iterator[Line]:
    """Yield Caffe's lines for an event; some events have none."""
    writer = _LINES.get(type(event))
    if writer is not None:
        yield from writer(event)


def output_text(output: Output) -> str:
    """Format an output as in Caffe's logs.

    >>> output_text(Output("loss", 2.5, 0.5))
    'loss = 2.5 (* 0.5 = 1.25 loss)'
    """
    text = f"{visible(output.blob)} = {number(output.value)}"
    if output.loss_weight:
        text += f" (* {number(output.loss_weight)} = {number(output.loss_weight * output.value)} loss)"
    return text


def _note(event: LogNote) -> Iterator[Line]:
    yield event.location, event.text


def _warned(event: WarningIssued) -> Iterator[Line]:
    yield "netc:1", event.text


def _started(event: RunStarted) -> Iterator[Line]:
    yield "solver.cpp:289", f"Solving {event.net}"
    yield "solver.cpp:290", f"Learning Rate Policy: {event.lr_policy}"


def _displayed(event: IterationDisplayed) -> Iterator[Line]:
    speed = event.iterations / event.seconds if event.seconds else 0.0
    pace = f"{number(speed)} iter/s, {number(event.seconds)}s/{event.display} iters"
    yield "solver.cpp:239", f"Iteration {event.iteration} ({pace}), loss = {number(event.loss)}"
    for index, output in enumerate(event.outputs):
        yield "solver.cpp:258", f"    Train net output #{index}: {output_text(output)}"


def _learning_rate(event: LearningRateDisplayed) -> Iterator[Line]:
    yield "sgd_solver.cpp:112", f"Iteration {event.iteration}, lr = {number(event.learning_rate)}"


def _stepped(event: LearningRateStepped) -> Iterator[Line]:
    policy = "Plateau" if event.policy == "plateau" else "MultiStep"
    yield "sgd_solver.cpp:47", f"{policy} Status: Iteration {event.iteration}, step = {event.step}"


def _lowest(event: NewLowestLoss) -> Iterator[Line]:
    text = f"Plateau Status: Iteration {event.iteration}, current minimum_loss = {number(event.loss)}"
    yield "sgd_solver.cpp:47", text


def _clipped(event: GradientsClipped) -> Iterator[Line]:
    sizes = f"(L2 norm {number(event.norm)} > {number(event.limit)})"
    text = f"Gradient clipping: scaling down gradients {sizes} by scale factor {number(event.scale)}"
    yield "sgd_solver.cpp:96", text


def _testing(event: TestStarted) -> Iterator[Line]:
    yield "solver.cpp:347", f"Iteration {event.iteration}, Testing net (#{event.net})"


def _tested(event: TestFinished) -> Iterator[Line]:
    if event.loss is not None:
        yield "solver.cpp:397", f"Test loss: {number(event.loss)}"
    for score in event.classes:
        yield "solver.cpp:531", f"{score.blob}: {number(score.value)}"
    for index, output in enumerate(event.outputs):
        yield "solver.cpp:414", f"    Test net output #{index}: {output_text(output)}"


def _interrupted(event: TestInterrupted) -> Iterator[Line]:
    yield "solver.cpp:390", "Test interrupted."


def _new_best(event: NewBest) -> Iterator[Line]:
    yield "netc:1", f"Iteration {event.iteration}, best {event.output} so far: {number(event.value)}"


def _exhausted(event: PatienceExhausted) -> Iterator[Line]:
    best = f"{number(event.best)} in iteration {event.best_iteration}"
    yield "netc:1", f"{event.output} has not improved for {counted(event.tests, 'test')}: the best was {best}"


def _skipped(event: UpdateSkipped) -> Iterator[Line]:
    text = f"Iteration {event.iteration}: gradients overflowed, update skipped; loss scale {number(event.scale)}"
    yield "netc:1", text


def _snapshotting(event: SnapshotStarted) -> Iterator[Line]:
    kind = "HDF5" if event.hdf5 else "binary proto"
    if event.kind == "average":
        yield "netc:1", f"Snapshotting averaged weights to {kind} file {event.path}"
    elif event.kind == "model":
        yield f"solver.cpp:{474 if event.hdf5 else 464}", f"Snapshotting to {kind} file {event.path}"
    else:
        location = f"sgd_solver.cpp:{296 if event.hdf5 else 284}"
        yield location, f"Snapshotting solver state to {kind} file {event.path}"


def _restoring(event: RestoreStarted) -> Iterator[Line]:
    yield "solver.cpp:296", f"Restoring previous solver status from {event.path}"


def _finetuning(event: FinetuningStarted) -> Iterator[Line]:
    yield "solver.cpp:72", f"Finetuning from {event.path}"


def _finetuned(event: FinetuningLoaded) -> Iterator[Line]:
    for layer in event.skipped:
        yield "net.cpp:744", f"Ignoring source layer {layer}"
    if event.test_net is None:
        for layer in event.missing:
            yield "net.cpp:744", f"No weights for layer {layer} in {event.path}"
        for line in event.table:
            yield "netc:1", line


def _final_loss(event: FinalLoss) -> Iterator[Line]:
    yield "solver.cpp:327", f"Iteration {event.iteration}, loss = {number(event.loss)}"


def _finished(event: RunFinished) -> Iterator[Line]:
    if event.stopped_early:
        yield "solver.cpp:309", "Optimization stopped early."
    else:
        yield "solver.cpp:332", "Optimization Done."


_LINES: dict[type[Event], Callable[..., Iterator[Line]]] = {
    LogNote: _note,
    WarningIssued: _warned,
    RunStarted: _started,
    IterationDisplayed: _displayed,
    LearningRateDisplayed: _learning_rate,
    LearningRateStepped: _stepped,
    GradientsClipped: _clipped,
    TestStarted: _testing,
    TestFinished: _tested,
    TestInterrupted: _interrupted,
    NewBest: _new_best,
    PatienceExhausted: _exhausted,
    NewLowestLoss: _lowest,
    UpdateSkipped: _skipped,
    SnapshotStarted: _snapshotting,
    RestoreStarted: _restoring,
    FinetuningStarted: _finetuning,
    FinetuningLoaded: _finetuned,
    FinalLoss: _final_loss,
    RunFinished: _finished,
}
