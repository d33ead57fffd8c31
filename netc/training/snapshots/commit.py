"""The commit mark: what a .solverstate contains about its snapshot.

The mark holds the run that wrote the snapshot, and digests (SHA-256) of the weights file, of the history, and of the
sidecar. It identifies a .solverstate that is next to files of another snapshot. Caffe ignores the mark,
and Caffe's own snapshots have none.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from netc.diagnostics import NetcError
from netc.training.snapshots.json_check import number, optional, record, text
from netc.training.snapshots.run_identity import MAX_TIME, RUN, Run

if TYPE_CHECKING:
    from pathlib import Path

    from netc.weights import SolverState

CHUNK = 1 << 22
"""Bytes of a file that are read at a time."""


@dataclass(frozen=True)
class CommitMark:
    """The run and the digests of a snapshot."""

    run: Run
    written: float
    """Seconds since the epoch."""
    model: str
    sidecar: str
    history: str = ""
    average: str | None = None
    """Of the file with averaged weights, None without one."""

    def encode(self) -> str:
        """Return the mark as the text that a .solverstate holds."""
        return json.dumps(asdict(self))

    @staticmethod
    def decode(content: str, path: str) -> CommitMark:
        """The inverse of `encode`; `path` is the .solverstate. Raises NetcError E706 for a damaged mark."""
        try:
            values = json.loads(content)
            MARK(values, "")
        except (ValueError, RecursionError) as error:
            raise NetcError(f"`{path}` has a damaged commit mark: {error}", code="E706") from None
        known = {name: values[name] for name in CommitMark.__dataclass_fields__}
        return CommitMark(**{**known, "run": Run.of(values["run"])})


MARK = record(
    {
        "run": RUN,
        "written": number(0, MAX_TIME),
        "model": text,
        "sidecar": text,
        "history": text,
        "average": optional(text),
    }
)


def mark_of(path: str, state: SolverState) -> CommitMark | None:
    """Return the mark of a solver state read from `path`, None if it has none. Raises NetcError E706."""
    return None if state.commit is None else CommitMark.decode(state.commit, path)


def committed(state: SolverState, run: Run, model: Path, sidecar: Path, average: Path | None) -> SolverState:
    """Return the state with the mark of its snapshot, whose other files are at these paths."""
    digests = file_digest(model), file_digest(sidecar), history_digest(state)
    mark = CommitMark(run, time.time(), *digests, file_digest(average) if average else None)
    return replace(state, commit=mark.encode())


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    result = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            result.update(chunk)
    return result.hexdigest()


def history_digest(state: SolverState) -> str:
    """Return the SHA-256 of a solver's history, with its iteration and step."""
    result = hashlib.sha256(struct.pack("<qq", state.iter, state.current_step))
    for blob in state.history:
        array = np.ascontiguousarray(blob.data, blob.data.dtype.newbyteorder("<"))
        result.update(f"{array.dtype.str}{array.shape}".encode())
        result.update(array.reshape(-1).view(np.uint8).data)
    return result.hexdigest()
