"""Atomic file writes: a file has either its old content or its new content, never a mixture.

The new content is written to a temporary file in the same directory, flushed to the disk, and then renamed. If anything
fails before that (an error, an interrupt, a full disk), the old file is unchanged and the temporary one is removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to; it is renamed to `path` when the block ends without an error.

    Raises NetcError E408 if the system refuses: no directory, permission or space, or `path` is not a regular file.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic_write`, but yields the path of an empty file, which the block fills and closes."""
    target = Path(os.path.realpath(path))  # a link is kept, the file that it refers to is replaced
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise OSError(None, "it is not a regular file")
        _create(temporary, target)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) not in (
            str(temporary),
            str(target),
            str(target.parent),
        ):
            raise  # it concerns another file
        raise NetcError(f"cannot write `{os.fspath(path)}`: {_reason(error)}", code="E408") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _create(temporary: Path, target: Path) -> None:
    """Create an empty file with the permissions of the old one, or with those that the umask allows."""
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if target.exists():
        shutil.copymode(target, temporary)


def _sync(path: Path) -> None:
    """Flush a file or directory to the disk. Directories cannot be opened on Windows, and need not be."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]
