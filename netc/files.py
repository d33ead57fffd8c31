"""Opens regular files only: a pipe, a device or a socket may block forever or never end.

    open_regular(path)    open for reading, without waiting
    read_bytes(path)      the content
    check_regular(path)   before a library opens the file itself
    reason_of(error)      why it failed, for a message

All raise OSError, whose `strerror` says what is there instead.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

LARGEST = 1 << 32
"""Bytes of the largest file that is read into memory at once."""
SYSTEM = ("/proc/", "/sys/")
"""Folders of files without a size, which the system makes while they are read."""
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading. Raises OSError for anything else, and ValueError for a name with a NUL."""
    check_regular(path)  # opening a device may have effects
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        _check(os.fstat(handle))  # it may have been replaced since
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: str | os.PathLike[str], limit: int = LARGEST) -> bytes:
    """The content of a regular file of at most `limit` bytes; raises OSError as `open_regular` does.

    No more is read than the size of the file when it was opened, so that a file that grows does not delay the end.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, more than the limit of {limit:,}")
        return file.read(size)


def check_regular(path: str | os.PathLike[str]) -> int:
    """The size of a regular file in bytes. Raises OSError for a missing file and for anything else than a file."""
    size = _check(Path(path).stat())
    if not size and os.path.realpath(path).startswith(SYSTEM):  # which may block or never end
        raise OSError(errno.EINVAL, "it belongs to the system, and is not a regular file")
    return size


def reason_of(error: Exception) -> str:
    """What the system or a library says about a file, as part of a sentence.

    >>> reason_of(FileNotFoundError(2, "No such file or directory"))
    'no such file or directory'
    """
    words = error.strerror if isinstance(error, OSError) else None
    return words[:1].lower() + words[1:] if words else str(error)


def _check(found: os.stat_result) -> int:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory, not a regular file")
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file")
    return found.st_size
