"""The events of a training run.

The training loop sends them to a listener, which is any function of one event. The command line prints Caffe's log
lines (`netc.training.log.caffe_log`); a progress bar and the JSON log receive the same events. Iterations count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """The base of all events."""


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
    """The `loss_weight` of the blob; 0 if it is not a loss."""


@dataclass(frozen=True)
class LogNote(Event):
    """A line of Caffe's log without an event of its own."""

    location: str
    """File and line in Caffe's source, `solver.cpp:57`; `netc:1` for lines that Caffe lacks."""
    text: str
    severity: str = "I"
    """glog's letter: `I`, `W` or `E`."""


@dataclass(frozen=True)
class WarningIssued(Event):
    """A warning."""

    text: str
    rendered: bool = False
    """Whether `text` is a rendered diagnostic: of several lines, with control characters escaped."""


@dataclass(frozen=True)
class RunStarted(Event):
    """A run starts."""

    net: str
    lr_policy: str
    iteration: int
    max_iter: int
    images_per_iteration: int = 0
    """Images in all batches of an iteration, over all ranks; 0 if unknown."""


@dataclass(frozen=True)
class IterationFinished(Event):
    """An iteration is complete."""

    iteration: int
    learning_rate: float = 0.0
    """The learning rate of its update."""


@dataclass(frozen=True)
class LossMeasured(Event):
    """The loss of one iteration is known: on a CPU as it ends, on a GPU some iterations later."""

    iteration: int
    loss: float


@dataclass(frozen=True)
class IterationDisplayed(Event):
    """An iteration is due for display; sent before its update."""

    iteration: int
    loss: float
    """Averaged over the last `average_loss` iterations."""
    seconds: float
    """Since the previous event of this type."""
    iterations: int
    """Since the previous event of this type."""
    display: int
    """The `display` interval of the solver."""
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class LearningRateDisplayed(Event):
    """The learning rate of an iteration that is due for display is known."""

    iteration: int
    learning_rate: float


@dataclass(frozen=True)
class LearningRateStepped(Event):
    """The learning rate enters the next step."""

    iteration: int
    step: int
    policy: str = "multistep"


@dataclass(frozen=True)
class NewLowestLoss(Event):
    """Policy `plateau` found a new lowest loss, or stepped, since the last display."""

    iteration: int
    loss: float


@dataclass(frozen=True)
class GradientsClipped(Event):
    """The norm of all gradients exceeded `clip_gradients`, and they were scaled down."""

    iteration: int
    norm: float
    limit: float
    scale: float


@dataclass(frozen=True)
class TestStarted(Event):
    """A test starts."""

    iteration: int
    net: int
    """Index of the test net."""


@dataclass(frozen=True)
class TestFinished(Event):
    """A test is complete."""

    iteration: int
    net: int
    outputs: tuple[Output, ...]
    loss: float | None = None
    """Only with `test_compute_loss`."""
    classes: tuple[Output, ...] = ()
    """Average precision of each class, named `class1`; only with `show_per_class_result`."""


@dataclass(frozen=True)
class TestInterrupted(Event):
    """A test was interrupted by a request to stop."""

    iteration: int
    net: int


@dataclass(frozen=True)
class NewBest(Event):
    """The watched output of a test has its best value so far."""

    iteration: int
    output: str
    value: float


@dataclass(frozen=True)
class PatienceExhausted(Event):
    """The watched output has not improved for `tests` tests: the solver stops."""

    iteration: int
    output: str
    tests: int
    best: float
    best_iteration: int


@dataclass(frozen=True)
class UpdateSkipped(Event):
    """An update was skipped: a gradient overflowed under the loss scale."""

    iteration: int
    scale: float
    """The loss scale of the next iteration."""


@dataclass(frozen=True)
class SnapshotStarted(Event):
    """A file is about to be written."""

    iteration: int
    path: str
    kind: str
    """`model`, `state`, or `average` for the averaged weights."""
    hdf5: bool


@dataclass(frozen=True)
class RestoreStarted(Event):
    """A run resumes from a solver state."""

    path: str


@dataclass(frozen=True)
class FinetuningStarted(Event):
    """Weights will be copied from a file."""

    path: str


@dataclass(frozen=True)
class FinetuningLoaded(Event):
    """Weights were copied from a file."""

    path: str
    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    """Layers in the file that the net lacks."""
    missing: tuple[str, ...]
    """Layers of the net that the file lacks: their fillers initialize them."""
    test_net: int | None = None
    """Index of the test net; None for the train net."""
    table: tuple[str, ...] = ()
    """The same data as a table, line by line."""


@dataclass(frozen=True)
class FinalLoss(Event):
    """The loss after the last update."""

    iteration: int
    loss: float


@dataclass(frozen=True)
class RunFinished(Event):
    """A run ends."""

    iteration: int
    stopped_early: bool = False
    """Whether it was requested to stop."""
