"""Files that are either the old one or the new one, never half of each.

The new content goes to a temporary name in the same folder, to the disk, and only then takes the file's name. Whatever
happens before (an error, an interrupt, a full disk), the old file stays whole and the temporary one is removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from netc.diagnostics import NetcError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write to; it gets its name when the block ends without an error.

    Raises NetcError E408 where the system refuses: no folder, no right, no space, or `path` is no regular file.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic_write`, for who needs a path: an empty file that the block fills and closes."""
    target = Path(os.path.realpath(path))  # a link stays a link, its file is replaced
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise OSError(None, "it is no regular file")
        _create(temporary, target)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) not in (
            str(temporary),
            str(target),
            str(target.parent),
        ):
            raise  # of another file
        raise NetcError(f"cannot write `{os.fspath(path)}`: {_reason(error)}", code="E408") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _create(temporary: Path, target: Path) -> None:
    """An empty file with the old one's permissions, or with those that the umask gives."""
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if target.exists():
        shutil.copymode(target, temporary)


def _sync(path: Path) -> None:
    """Wait until the disk has it. Folders cannot be opened on Windows, and need not be."""
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
