"""Signals as requests to a running solver (`caffe.cpp`, train; `signal_handler.cpp`)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType


class Request(Enum):
    """What a solver should do after its current iteration."""

    NONE = "none"
    SNAPSHOT = "snapshot"
    STOP = "stop"
    """Stop, with a snapshot unless the solver sets `snapshot_after_train: false`."""
    SNAPSHOT_AND_STOP = "snapshot-and-stop"
    """Stop with a snapshot in any case."""

    @property
    def stops(self) -> bool:
        """Whether training ends."""
        return self in (Request.STOP, Request.SNAPSHOT_AND_STOP)

    @property
    def writes(self) -> bool:
        """Whether a snapshot is written whatever the solver sets."""
        return self in (Request.SNAPSHOT, Request.SNAPSHOT_AND_STOP)


def no_request() -> Request:
    """Request nothing."""
    return Request.NONE


class Requests:
    """Pending requests; each call returns one of them, in the order of `effects`: SIGHUP's before SIGINT's as in Caffe.

    >>> requests = Requests({signal.SIGINT: Request.STOP})
    >>> requests.note(signal.SIGINT)
    >>> requests(), requests()
    (<Request.STOP: 'stop'>, <Request.NONE: 'none'>)
    """

    def __init__(self, effects: Mapping[signal.Signals, Request]) -> None:
        self.effects = dict(effects)
        self._pending: set[int] = set()

    def __call__(self) -> Request:
        """Return the next request. Each signal is returned once."""
        for number, effect in self.effects.items():
            if number in self._pending:
                self._pending.discard(number)
                return effect
        return Request.NONE

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Record a signal. A second Ctrl-C before the first one was handled interrupts at once."""
        if number == signal.SIGINT and number in self._pending and self.effects[signal.SIGINT].stops:
            raise KeyboardInterrupt
        self._pending.add(number)


@contextlib.contextmanager
def requests_of_signals(sigint: Request, sighup: Request, sigterm: Request | None = None) -> Iterator[Requests]:
    """Handle SIGINT, SIGHUP and, unless None, SIGTERM inside the context, then restore the previous handlers.

    Only the main thread can handle signals: in other threads there are no requests.
    """
    effects = {signal.SIGINT: sigint}
    if sigterm is not None:
        effects = {signal.SIGTERM: sigterm, **effects}
    if hasattr(signal, "SIGHUP"):
        effects = {signal.SIGHUP: sighup, **effects}
    requests = Requests(effects)
    with _handled(dict.fromkeys(effects, requests.note)):
        yield requests


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Hold back the signals that end a process until the context is left, so that it is complete or not begun."""
    pending: list[int] = []
    numbers = [number for number in _ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    try:
        with _handled(dict.fromkeys(numbers, lambda number, frame: pending.append(number))):
            yield
    finally:
        for number in dict.fromkeys(pending):
            signal.raise_signal(number)


_ENDING = [getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name)]
Handler = Callable[[int, "FrameType | None"], object]


@contextlib.contextmanager
def _handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Handle signals inside the context, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
