"""The one way to write a file: it has either its old content or its new content, never a mixture.

The new content is written to a temporary file in the same directory, flushed to the disk, and then renamed. If anything
fails before that (an error, an interrupt, a full disk), the old file is unchanged and the temporary one is removed.

    with atomic_write(path, size) as file: ...                   a file of ours; room for `size` bytes is reserved first
    with atomic_path(path, size) as temporary: ...               a file that a library opens by its name
    with library_write(path, size) as file: torch.save(x, file)  a library whose code does not survive a full disk

Logs, which grow, and databases are written otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from netc.deferred_errors import deferred_errors
from netc.diagnostics import NetcError
from netc.files import exists, is_file, is_folder, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NAME = 100
"""Bytes of a file's name that the name of its temporary file contains."""
TEMPORARY = r"\.[0-9a-f]{12}\.tmp"
"""How the name of a temporary file or directory ends."""
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], size: int = 0) -> Iterator[BinaryIO]:
    """A binary file to write to; it is renamed to `path` when the block ends without an error.

    `size` is the number of bytes that will be written, if it is known. Raises NetcError E408 if the system refuses: no
    directory, permission or room, or `path` is not the name of a regular file.
    """
    with atomic_path(path, size) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def library_write(path: str | os.PathLike[str], size: int = 0) -> Iterator[BinaryIO]:
    """As `atomic_write`, for a library that must not see an error of the system.

    The first error is kept, what follows is dropped, and the error is raised at the end of the block: see
    `netc.deferred_errors`.
    """
    with atomic_path(path, size) as temporary, temporary.open("w+b") as file, deferred_errors(file) as result:
        yield result


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], size: int = 0) -> Iterator[Path]:
    """As `atomic_write`, but yields the path of an empty file, which the block fills and closes."""
    target = _target(path)
    temporary = temporary_path(target, shortened(target.name))
    try:
        if exists(target) and not is_file(target):
            raise OSError(None, "it is not a regular file")
        _create(temporary, target)
        _check_room(temporary, size)
        yield temporary
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except NetcError:
        raise
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) not in (
            str(temporary),
            str(target),
            str(target.parent),
        ):
            raise  # it concerns another file
        raise _refused(path, reason_of(error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def temporary_path(target: Path, name: str) -> Path:
    """A new path next to `target` for a temporary file or directory, which has `name` in its name."""
    return target.with_name(f".{name}.{secrets.token_hex(6)}.tmp")


def shortened(name: str) -> str:
    """The part of a file's name that the name of its temporary file contains, which may not exceed 255 bytes."""
    return os.fsdecode(os.fsencode(name)[:MAX_NAME])


def check_output(path: str | os.PathLike[str]) -> Path:
    """The path, if a file may have this name. Raises NetcError E408 for an empty name, a directory, or a NUL."""
    name = os.fspath(path)
    if "\0" in name:
        raise _refused(path, "a name cannot contain a NUL")
    if not name:
        raise _refused(path, "the name is empty")
    if os.path.basename(name) in ("", ".", ".."):  # noqa: PTH119 - Path would drop a final slash
        raise _refused(path, "it is a directory")
    return Path(path)


def _target(path: str | os.PathLike[str]) -> Path:
    """The file to replace: that to which a link refers."""
    return Path(os.path.realpath(check_output(path)))


def _refused(path: str | os.PathLike[str], reason: str) -> NetcError:
    return NetcError(f"cannot write `{os.fspath(path)}`: {reason}", code="E408")


def _check_room(temporary: Path, size: int) -> None:
    """Raise OSError if the disk, a quota or a limit has no room for `size` bytes: later it may end the process."""
    if not size or not hasattr(os, "posix_fallocate"):
        return
    handle = os.open(temporary, os.O_RDWR)
    try:
        os.posix_fallocate(handle, 0, size)
        os.ftruncate(handle, 0)
    except OSError as error:  # not every file system can reserve
        if error.errno in _NO_ROOM:
            raise
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _create(temporary: Path, target: Path) -> None:
    """Create an empty file with the permissions of the old one, or with those that the umask allows."""
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if exists(target):
        shutil.copymode(target, temporary)


def sync(path: Path) -> None:
    """Flush a file or directory to the disk. Directories cannot be opened on Windows, and need not be."""
    if is_folder(path) and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if is_folder(path) else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
