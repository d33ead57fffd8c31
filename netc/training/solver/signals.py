"""Signals as requests to a running solver (`caffe.cpp`, train; `signal_handler.cpp`)."""

from __future__ import annotations

import contextlib
import signal
import threading
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


def no_request() -> Request:
    """Request nothing."""
    return Request.NONE


class Requests:
    """Pending requests; each call returns one of them, SIGHUP's before SIGINT's as in Caffe.

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
        if number == signal.SIGINT and number in self._pending and self.effects[signal.SIGINT] is Request.STOP:
            raise KeyboardInterrupt
        self._pending.add(number)


@contextlib.contextmanager
def requests_of_signals(sigint: Request, sighup: Request) -> Iterator[Requests]:
    """Handle SIGINT and SIGHUP inside the context, then restore the previous handlers.

    Only the main thread can handle signals: in other threads there are no requests.
    """
    effects = {signal.SIGINT: sigint}
    if hasattr(signal, "SIGHUP"):
        effects = {signal.SIGHUP: sighup, **effects}
    requests = Requests(effects)
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.signal(number, requests.note) for number in effects}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
