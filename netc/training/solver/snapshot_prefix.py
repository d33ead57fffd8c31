"""The prefix of the names of snapshots, and whether they can be written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic
from netc.files import is_folder, reason_of

if TYPE_CHECKING:
    from netc.diagnostics import Span

LONGEST_NAME = 255
"""Bytes of the longest file name of common file systems."""
ENDING = 48
"""Bytes reserved for the longest ending of a file of a snapshot, and for that of a temporary file."""


def prefix_of(snapshot_prefix: str, file: str | None) -> str:
    """Return the prefix of the names of a solver's snapshots; `file` is the solver's file.

    The default of `snapshot_prefix` is the solver's file without its suffix; if it is a directory, the file name is
    appended (`upgrade_proto.cpp`, UpgradeSnapshotPrefixProperty).
    """
    stem = Path(file).with_suffix("") if file else Path("solver")
    if not snapshot_prefix:
        return str(stem)
    return str(Path(snapshot_prefix) / stem.name) if is_folder(snapshot_prefix) else snapshot_prefix


def prefix_problem(prefix: str, iterations: int, span: Span | None) -> Diagnostic | None:
    """Return E605 if snapshots of up to `iterations` cannot be written under the prefix, None if they can."""
    folder, name = Path(prefix).parent, Path(prefix).name
    missing = False
    try:
        problem = _folder_problem(folder)
        missing = problem == "does not exist"
        message = f"the snapshot directory `{folder}` {problem}" if problem else _name_problem(name, iterations)
    except OSError as error:  # a name in the path is too long
        message = f"the snapshot directory `{folder}` cannot exist: {reason_of(error)}"
    help = f"create it: `mkdir -p {folder}`" if missing else None
    return Diagnostic("E605", message, span, (), help) if message else None


def is_missing(problem: Diagnostic) -> bool:
    """Whether the directory is only missing."""
    return problem.help is not None


def _folder_problem(folder: Path) -> str | None:
    if not folder.exists():
        return "does not exist"
    if not is_folder(folder):
        return "is not a directory"
    return None if os.access(folder, os.W_OK) else "is not writable"


def _name_problem(name: str, iterations: int) -> str | None:
    size = len(os.fsencode(f"{name}_iter_{iterations}")) + ENDING
    if size <= LONGEST_NAME:
        return None
    return f"names of snapshots would have up to {size} bytes, more than the {LONGEST_NAME} of most file systems"
