"""Standard input, output and error of a process, which may be closed, full, or a pipe without a reader.

- Standard output that cannot be written ends the process with one error and status 1. A broken pipe ends it silently
  with the status of SIGPIPE, as `netc summary net | head` should.
- Standard error that cannot be written is dropped: a log must not end a training run.
- A closed descriptor is opened in a mode in which its use fails, so that no other file gets its number.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

from netc.files import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

INPUT, OUTPUT, ERROR = range(3)


class OutputError(Exception):
    """Standard output cannot be written."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason)
        self.is_broken_pipe = reason.errno == errno.EPIPE
        self.text = f"cannot write to standard output: {reason_of(reason)}"


class _Output(io.FileIO):
    """Standard output: an error of the system is an OutputError."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            raise OutputError(error) from None


class _Error(io.FileIO):
    """Standard error: what cannot be written is dropped."""

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data) or 0
        return memoryview(data).nbytes


def run_process(run: Callable[[], int]) -> int:
    """Replace the standard streams of this process, run a function, and return the exit status."""
    _replace_streams()
    try:
        status = run()
        if not sys.stdout.closed:  # as `json.tool` does, which `netc run -m` may run
            sys.stdout.flush()
    except OutputError as error:
        _discard_output()
        if error.is_broken_pipe:
            return 128 + signal.SIGPIPE
        sys.stderr.write(f"error[E408]: {error.text}\n")
        return 1
    return status


def _replace_streams() -> None:
    for descriptor, mode in ((INPUT, os.O_WRONLY), (OUTPUT, os.O_RDONLY), (ERROR, os.O_WRONLY)):
        _occupy(descriptor, mode)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(INPUT, closefd=False)))
    sys.stdout = _text(_Output(OUTPUT, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Error(ERROR, "wb", closefd=False), sys.stderr, line_buffering=True)


def _occupy(descriptor: int, mode: int) -> None:
    """Open a closed descriptor."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, mode)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _text(raw: io.FileIO, replaced: object, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text stream with the encoding of the one that it replaces; what that cannot encode is escaped."""
    encoding = getattr(replaced, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=line_buffering or raw.isatty())


def _discard_output() -> None:
    """Discard what is buffered and what follows."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, OUTPUT)
    os.close(null)
