"""Caffe's log on stderr: what its Python interface writes there unless it is told not to (`_caffe.cpp`, InitLog).

As with glog, `GLOG_minloglevel` in the environment says what is left out: 0 nothing, 1 what is neither warning nor
error, 2 what is no error, 3 all.
"""

from __future__ import annotations

import os
import sys

from netc.training.log.caffe_log import GlogWriter, severity
from netc.training.log.events import Event, LogNote

VARIABLE = "GLOG_minloglevel"
LEVELS = {"I": 0, "W": 1, "E": 2}
"""Severities, as glog numbers them."""


class _Least:
    """The least severity that is written."""

    level = int(os.environ[VARIABLE]) if os.environ.get(VARIABLE, "").isdecimal() else 0


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Leave out what is less severe than `level`: 1 keeps warnings and errors, 2 errors; so does no `stderr`."""
    _Least.level = level if stderr else max(level, LEVELS["E"])


def log(message: str) -> None:
    """Write a line of the program's own."""
    tell(LogNote("_caffe.cpp:1", message))


def tell(event: Event) -> None:
    """Write Caffe's lines for an event of a solver."""
    if LEVELS[severity(event)] >= _Least.level:
        GlogWriter(sys.stderr)(event)
