"""Finds the snapshots of a prefix, and which of them belong to its latest run."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from netc.diagnostics import NetcError, counted
from netc.training.snapshots.commit import CommitMark, mark_of
from netc.training.snapshots.run_identity import UNKNOWN, UNKNOWN_RUN, Run
from netc.training.snapshots.sidecar import STATE_ENDINGS
from netc.weights import read_solverstate


@dataclass(frozen=True)
class Found:
    """A solver state on the disk."""

    iteration: int
    path: str
    written: float
    """Seconds since the epoch, by the commit mark or the file."""
    mark: CommitMark | None = None
    readable: bool = True
    """Whether the file could be read; otherwise its run is unknown."""

    @property
    def run(self) -> Run:
        """The run that wrote it."""
        return self.mark.run if self.mark else UNKNOWN_RUN

    def __str__(self) -> str:
        run = f" by the run that started {_shown(self.run.started)}" if self.mark else ""
        return f"{self.path}, written {_shown(self.written)}{run}"

    def belongs_to(self, run: Run) -> bool:
        """Whether the snapshot is of a run, or of one that this run continues."""
        return run.includes(self.run.id, self.iteration)


def find(prefix: str) -> list[Found]:
    """Return the snapshots of a prefix, newest iteration first."""
    pattern = re.compile(re.escape(prefix) + r"_iter_(\d{1,10})(\.solverstate(?:\.h5)?)")
    names = [name for ending in STATE_ENDINGS for name in glob.glob(f"{glob.escape(prefix)}_iter_*{ending}")]  # noqa: PTH207
    matches = [match for match in map(pattern.fullmatch, names) if match]
    return [_found(*each) for each in sorted(((int(match[1]), match[0]) for match in matches), reverse=True)]


def latest_of(found: list[Found], named: Run | None) -> Run | None:
    """Return the latest run: the `named` one, else that of the snapshot written last; None without snapshots.

    Snapshots without an identity count as later if they were written after everything of the named run.
    """
    readable = [each for each in found if each.readable]
    last = max(readable, key=lambda each: each.written, default=None)
    if named is None:
        return last.run if last else None
    written = max((each.written for each in readable if each.belongs_to(named)), default=named.started)
    return UNKNOWN_RUN if last and last.run.id == UNKNOWN and last.written > written else named


def of_run(found: list[Found], run: Run | None) -> list[Found]:
    """Return the snapshots that may belong to a run: also those that cannot be read."""
    return [each for each in found if run is None or not each.readable or each.belongs_to(run)]


def passed_over(others: list[Found]) -> str:
    """Return the text that reports snapshots of other runs."""
    newest = max(others, key=lambda each: each.iteration)
    belong = "belongs to another run and is" if len(others) == 1 else "belong to other runs and are"
    text = f"{counted(len(others), 'snapshot')} {belong} not used, up to `{newest.path}`"
    return f"{text}: to resume from it, pass its path"


def may_be_older(chosen: Found, found: list[Found]) -> str | None:
    """Return a warning if another snapshot without an identity was written after the chosen one, which has none."""
    last = max(found, key=lambda each: each.written)
    if chosen.mark or last.mark or last.written <= chosen.written:
        return None
    return f"`{chosen.path}` was written before `{last.path}`: it may belong to another run"


def _shown(seconds: float) -> str:
    """A time in the local zone."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def _found(iteration: int, path: str) -> Found:
    try:
        mark = mark_of(path, read_solverstate(path))
        return Found(iteration, path, mark.written if mark else Path(path).stat().st_mtime, mark)
    except (NetcError, OSError):
        return Found(iteration, path, 0, readable=False)
