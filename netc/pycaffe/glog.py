"""Caffe's log on stderr, which its Python interface writes by default (`_caffe.cpp`, InitLog).

As in glog, the environment variable `GLOG_minloglevel` is the lowest severity that is written: 0 information,
1 warnings, 2 errors, 3 nothing.
"""

from __future__ import annotations

import os
import sys

from netc.training.log.caffe_log import GlogWriter, severity
from netc.training.log.events import Event, LogNote

VARIABLE = "GLOG_minloglevel"
LEVELS = {"I": 0, "W": 1, "E": 2}
"""glog's numbers of the severities."""


class _Threshold:
    """The lowest severity that is written."""

    level = int(os.environ[VARIABLE]) if os.environ.get(VARIABLE, "").isdecimal() else 0


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Write messages of severity `level` and above: 1 warnings, 2 errors; without `stderr` only errors."""
    _Threshold.level = level if stderr else max(level, LEVELS["E"])


def log(message: str) -> None:
    """Write a message of the program."""
    log_event(LogNote("_caffe.cpp:1", message))


def log_event(event: Event) -> None:
    """Write Caffe's lines for an event of a solver."""
    if LEVELS[severity(event)] >= _Threshold.level:
        GlogWriter(sys.stderr)(event)
