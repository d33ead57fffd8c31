"""Logs whose failure does not end the run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.files import reason_of
from netc.training.log.events import Event, Listener, WarningIssued

if TYPE_CHECKING:
    from collections.abc import Callable


def do_nothing() -> None:
    """The `close` of a log that needs none."""


@dataclass(frozen=True)
class TrainingLog:
    """A listener that writes to a file or a stream."""

    name: str
    """In messages: `the JSON log run.jsonl`."""
    listener: Listener
    close: Callable[[], object] = do_nothing


class FailsafeLogs:
    """A listener that passes events to logs; one that cannot be written is dropped, and the others report it once."""

    def __init__(self, logs: list[TrainingLog]) -> None:
        self.logs = logs

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        for log in list(self.logs):
            try:
                log.listener(event)
            except OSError as error:
                self._drop(log, error)

    def close(self) -> None:
        """Close all logs."""
        for log in list(self.logs):
            try:
                log.close()
            except OSError as error:
                self._drop(log, error)

    def _drop(self, log: TrainingLog, error: OSError) -> None:
        if log not in self.logs:
            return
        self.logs.remove(log)
        with contextlib.suppress(OSError):
            log.close()
        text = f"{log.name} cannot be written: {reason_of(error)}; training continues without it"
        self(WarningIssued(text))
