"""What happens in a training run, as values: the loop tells whoever listens, and knows nobody.

A listener is any function of one event. The command line prints Caffe's log lines (`netc.training.log.caffe_log`); a
progress bar or a file of numbers takes the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Anything that happened."""


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""


def fan_out(listeners: Sequence[Listener]) -> Listener:
    """Return a listener that passes each event to all of `listeners`, in order."""

    def listener(event: Event) -> None:
        for each in listeners:
            each(event)

    return listener


@dataclass(frozen=True)
class Output:
    """One element of an output blob, averaged where several batches were run."""

    blob: str
    value: float
    loss_weight: float = 0.0
    """Of the blob; 0 for what is no loss."""


@dataclass(frozen=True)
class LogNote(Event):
    """Something that is told in words only, and where Caffe's source tells it."""

    place: str
    """File and line: `solver.cpp:57`."""
    text: str
    severity: str = "I"
    """glog's letter: `I`, `W`, `E`."""


@dataclass(frozen=True)
class WarningIssued(Event):
    """Something that the user should know."""

    text: str


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins."""

    net: str
    lr_policy: str
    iteration: int
    max_iter: int
    images: int = 0
    """Rows of all batches of an iteration, over all ranks; 0 where that is not known."""


@dataclass(frozen=True)
class IterationFinished(Event):
    """An iteration is done."""

    iteration: int
    rate: float = 0.0
    """The learning rate of its update."""


@dataclass(frozen=True)
class LossMeasured(Event):
    """The loss of one iteration is known: as it ends, or on a device that nobody waits for some iterations later."""

    iteration: int
    loss: float


@dataclass(frozen=True)
class IterationDisplayed(Event):
    """A training iteration that is due for the log: before its update."""

    iteration: int
    loss: float
    """Averaged over the last iterations."""
    seconds: float
    """Since the last one of these."""
    iterations: int
    """Since the last one of these."""
    display: int
    """The interval that the solver asks for."""
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class LearningRateDisplayed(Event):
    """The learning rate of an iteration that is due for the log."""

    iteration: int
    rate: float


@dataclass(frozen=True)
class LearningRateStepped(Event):
    """The learning rate begins another step."""

    iteration: int
    step: int
    policy: str = "multistep"


@dataclass(frozen=True)
class NewLowestLoss(Event):
    """Policy `plateau` saw a new least loss, or stepped, since the last log line."""

    iteration: int
    loss: float


@dataclass(frozen=True)
class GradientsClipped(Event):
    """Gradients were too large together, and were scaled down."""

    iteration: int
    norm: float
    limit: float
    scale: float


@dataclass(frozen=True)
class TestStarted(Event):
    """A test begins."""

    iteration: int
    net: int
    """Index of the test net."""


@dataclass(frozen=True)
class TestFinished(Event):
    """A test is done."""

    iteration: int
    net: int
    outputs: tuple[Output, ...]
    loss: float | None = None
    """Only with `test_compute_loss`."""


@dataclass(frozen=True)
class TestInterrupted(Event):
    """A test was broken off: somebody asked the solver to stop."""

    iteration: int
    net: int


@dataclass(frozen=True)
class NewBest(Event):
    """The watched output of a test is the best so far."""

    iteration: int
    output: str
    value: float


@dataclass(frozen=True)
class PatienceExhausted(Event):
    """The watched output has not become better for so many tests: the solver stops."""

    iteration: int
    output: str
    tests: int
    best: float
    best_iteration: int


@dataclass(frozen=True)
class UpdateSkipped(Event):
    """An update was left out: a gradient was not finite under the loss scale."""

    iteration: int
    scale: float
    """Of the next iteration."""


@dataclass(frozen=True)
class SnapshotStarted(Event):
    """A file is about to be written."""

    iteration: int
    path: str
    what: str
    """`model`, `state`, or `average` for the averaged weights."""
    hdf5: bool


@dataclass(frozen=True)
class RestoreStarted(Event):
    """A run goes on from a file."""

    path: str


@dataclass(frozen=True)
class FinetuningStarted(Event):
    """Weights are copied in from a file."""

    path: str


@dataclass(frozen=True)
class FinetuningLoaded(Event):
    """Weights were copied in."""

    path: str
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    """Layers in the file, and not in the net."""
    missing: tuple[str, ...]
    """Layers in the net, and not in the file: they start as their fillers say."""
    test_net: int | None = None
    """Index of the test net; None is the train net."""
    table: tuple[str, ...] = ()
    """The same as lines to read."""


@dataclass(frozen=True)
class FinalLoss(Event):
    """The loss after the last update."""

    iteration: int
    loss: float


@dataclass(frozen=True)
class RunFinished(Event):
    """The run is over."""

    iteration: int
    early: bool = False
    """It was told to stop."""
