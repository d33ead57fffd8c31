"""A file for libraries written in C or C++, which fail if an error of the system is raised while they write.

torch ends the process when the file that it writes to raises. HDF5 crashes when it closes a file of which it could not
write a part. They write to a `DeferredErrorFile` instead, which keeps the first error and drops what follows.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer


@contextlib.contextmanager
def deferred_errors(file: BinaryIO) -> Iterator[BinaryIO]:
    """A file that writes to `file` and never raises; the first error is raised at the end of the block.

    If the block raises an Exception after that error, as libraries do for a file that is not as they wrote it, the
    first error replaces it.
    """
    result = DeferredErrorFile(file)
    try:
        yield cast("BinaryIO", result)
    except Exception:
        result.raise_error()
        raise
    result.raise_error()


class DeferredErrorFile(io.RawIOBase):
    """A binary file whose methods never raise; after the first error nothing is written."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._error: OSError | None = None
        self._position = file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(self._position)

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Write unless an earlier write failed; return the number of bytes given."""
        self._attempt(lambda: self._file.write(data))
        size = memoryview(data).nbytes
        self._position += size
        self._end = max(self._end, self._position)
        return size

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read; bytes that could not be written, or that are after the end, are zero."""
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        self._attempt(lambda: self._file.readinto(view))  # type: ignore[attr-defined]
        count = max(0, min(len(view), self._end - self._position))
        self._position += count
        return count

    def tell(self) -> int:
        """The position at which it would be if nothing had failed."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position to where it would be if nothing had failed."""
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if position != self._position:  # else the buffer would be written
            self._position = position
            self._attempt(lambda: self._file.seek(position))
        return position

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length; the position stays."""
        self._end = self._position if size is None else size
        self._attempt(lambda: self._file.truncate(self._end))
        return self._end

    def flush(self) -> None:
        """Write what is buffered."""
        self._attempt(self._file.flush)

    def raise_error(self) -> None:
        """Raise the error of the first operation that failed."""
        if self._error is not None:
            raise self._error

    def _attempt(self, action: Callable[[], object]) -> None:
        if self._error is None:
            try:
                action()
            except OSError as error:
                self._error = error
