"""Writes the files of a snapshot together: all of them, or none.

They are first written to a temporary directory next to their targets (`.lenet_iter_10.5f3c....tmp`). When all are
complete and on the disk, the old commit mark is removed, and the files are moved into place, the new commit mark last.
A process that is killed leaves at most the temporary directory, which the next run with the prefix removes; a full disk
or another error leaves nothing, and the old snapshot intact.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.files import exists, is_file, is_folder, reason_of
from netc.training.snapshots.run_identity import run_path
from netc.weights import atomic_path
from netc.weights.atomic import TEMPORARY, shortened, sync, temporary_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

try:
    import fcntl
except ImportError:  # Windows, where a directory in use cannot be removed
    fcntl = None  # type: ignore[assignment]

LEFTOVER = r"_(iter_\d+|best)(\.(ema\.)?caffemodel(\.h5)?|\.solverstate(\.h5)?|\.netc\.json)?"
"""What follows the prefix in the names of the files for which there are temporary ones."""


class Staging:
    """A temporary directory for the files of one snapshot."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self.target = folder, target

    def path(self, target: str) -> str:
        """Return the path at which the file for `target` is to be written."""
        return str(self.folder / Path(target).name)

    def commit(self, targets: Sequence[str], mark: str) -> None:
        """Move the files to their targets, and the one with the commit mark last. Raises NetcError E408."""
        for target in (*targets, mark):
            if exists(target) and not is_file(target):
                raise NetcError(f"cannot write `{target}`: it is not a regular file", code="E408")
        if exists(mark):
            Path(mark).unlink()
            sync(self.target)
        for target in targets:
            self._move(target)
        sync(self.target)
        self._move(mark)
        sync(self.target)

    def _move(self, target: str) -> None:
        """Replace a file; where the target is a link, the file that it refers to."""
        try:
            os.replace(self.path(target), os.path.realpath(target))  # noqa: PTH105 - tests observe it
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with atomic_path(target) as temporary:
                shutil.copyfile(self.path(target), temporary)


@contextlib.contextmanager
def staging(stem: str) -> Iterator[Staging]:
    """A temporary directory for the snapshot PREFIX_iter_N, removed at the end.

    Raises NetcError E408 if the system refuses: no directory, permission or space.
    """
    target = Path(stem).parent
    folder = temporary_path(Path(stem), Path(stem).name)
    try:
        folder.mkdir()
        with _opened(folder) as handle:
            with contextlib.suppress(OSError):  # not every file system has locks
                _lock(handle)
            yield Staging(folder, target)
    except NetcError as error:
        here = f"{folder}{os.sep}"  # messages name the targets
        there = f"{target}{os.sep}" if os.path.dirname(stem) else ""  # noqa: PTH120 - keeps `./`
        raise NetcError(replace(d, message=d.message.replace(here, there)) for d in error.diagnostics) from error
    except OSError as error:
        raise NetcError(f"cannot write `{stem}.*`: {reason_of(error)}", code="E408") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(prefix: str) -> list[Path]:
    """Remove the temporary files of snapshots that a killed process left, and return their paths.

    Those of a running process are locked, and are kept.
    """
    run = shortened(run_path(prefix).name)
    pattern = re.compile(rf"\.({re.escape(Path(prefix).name)}{LEFTOVER}|{re.escape(run)}){TEMPORARY}")
    removed = []
    with contextlib.suppress(OSError):
        for path in sorted(Path(prefix).parent.iterdir()):
            if pattern.fullmatch(path.name) and _remove(path):
                removed.append(path)
    return removed


def _remove(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if not is_folder(path):  # of netc before snapshots had a directory
            path.unlink()
            return True
        with _opened(path) as handle:
            _lock(handle)
            shutil.rmtree(path)
            return True
    return False


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A handle of a directory; -1 on Windows, where directories cannot be opened."""
    if os.name == "nt":
        yield -1
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    """Lock a directory until the handle is closed or the process ends. Raises OSError if another process holds it."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
