"""A log as JSON lines: the numbers of each iteration, and every other event.

    {"event": "iteration", "time": 1763674000.5, "iteration": 7, "loss": 0.31, "learning_rate": 0.01}
    {"event": "test_finished", "time": 1763674003.1, "iteration": 100, "net": 0, "outputs": [...], ...}

Events that only repeat Caffe's log lines are omitted. `time` is in seconds since the epoch. NaN and infinities, which
JSON cannot represent, are null.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.files import open_log, reason_of
from netc.training.log.events import Event, IterationFinished, LogNote, LossMeasured
from netc.training.log.iteration_records import IterationRecorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class JsonLogWriter:
    """A listener that appends one JSON object per line to a file; a resumed run continues the file.

    Raises NetcError E632 if the file cannot be written.
    """

    def __init__(self, path: str | Path, now: Callable[[], float] = time.time) -> None:
        self.now = now
        try:
            self._file = open_log(path)
        except OSError as error:
            problem = reason_of(error)
            raise NetcError(f"`{path}` cannot be written: {problem}", code="E632") from None
        self._recorder = IterationRecorder(lambda record: self._write("iteration", record))

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        self._recorder(event)
        if not isinstance(event, (IterationFinished, LossMeasured, LogNote)):
            self._write(_WORD_START.sub("_", type(event).__name__).lower(), event)

    def _write(self, kind: str, event: Event) -> None:
        content = {"event": kind, "time": round(self.now(), 6), **dataclasses.asdict(event)}
        self._file.write(json.dumps(_finite(content), allow_nan=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")
"""Where a word starts in a class name: `TestFinished` is written as `test_finished`."""


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
