"""Runs the commands of a case in this process, and evaluates their results."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz.case import Case

EXPECTED = (0, 1, 2)
"""Exit statuses: success, an error in the input, wrong usage."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that must not reach a terminal; line breaks and tabs may."""
_TEMPORARY = re.compile(r"\.tmp$")
_PLACES = re.compile(r"0x[0-9a-f]+|\d+|'[^']*'|`[^`]*`")


@dataclass(frozen=True)
class Fault:
    """An incorrect behavior of a command."""

    signature: str
    """Equal for faults with the same cause."""
    detail: str
    command: int
    """Index of the command."""


def run(case: Case, directory: Path) -> Fault | None:
    """Run the commands of a case in an empty directory. Return the first fault."""
    with contextlib.chdir(directory):
        case.write(Path())
        for index, arguments in enumerate(case.commands):
            before = _names()
            fault = _run_one(arguments, index, case)
            if fault is not None:
                return fault
            kept = sorted(name for name in _names() - before if _TEMPORARY.search(name))
            if kept:
                return Fault(f"{arguments[0]}: leaves a temporary file", ", ".join(kept), index)
    return None


def _names() -> set[str]:
    return {path.name for path in Path().iterdir()}


def _run_one(arguments: tuple[str, ...], index: int, case: Case) -> Fault | None:
    from netc.cli import main
    from netc.cli.standard_streams import run_process

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            with _stdin_empty(), _output(case, out.fileno(), err.fileno()), _size_limit(case.file_size):
                status = run_process(lambda: main(arguments))
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException as error:  # every exception that leaves main is a finding
            return Fault(f"{arguments[0]}: {signature(error)}", traceback.format_exc(), index)
        return _judge(arguments, index, status, _text(out), _text(err), case)


def _judge(arguments: tuple[str, ...], index: int, status: int, out: str, err: str, case: Case) -> Fault | None:
    verb = arguments[0]
    if case.stdout == "kept" and status not in EXPECTED:
        return Fault(f"{verb}: exit status {status}", err[-2000:], index)
    if status == 1 and not (out.strip() or err.strip()) and case.stdout == "kept":
        return Fault(f"{verb}: exit status 1 without a message", "", index)
    if "Traceback (most recent call last)" in err:
        return Fault(f"{verb}: prints a traceback: {_PLACES.sub('_', err.strip().splitlines()[-1])[:120]}", err, index)
    found = _CONTROL.search(err) or (_CONTROL.search(out) if verb not in ("fmt", "upgrade") else None)
    if found:
        where = err if found.string is err else out
        around = where[max(0, found.start() - 100) : found.end() + 40]
        return Fault(f"{verb}: control character {found[0]!r} in the output", repr(around), index)
    return None


def signature(error: BaseException) -> str:
    """Return the type of an exception and the innermost place in netc that it passed.

    >>> signature(ValueError("text"))
    'ValueError'
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}netc{os.sep}" in f.filename]
    if not frames:
        return type(error).__name__
    last = frames[-1]
    place = last.filename.rpartition(f"{os.sep}netc{os.sep}")[2]
    return f"{type(error).__name__} in {place}:{last.name}"


def _text(file: io.BufferedRandom) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


@contextlib.contextmanager
def _stdin_empty() -> Iterator[None]:
    kept, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO())
    try:
        yield
    finally:
        sys.stdin = kept


@contextlib.contextmanager
def _output(case: Case, out: int, err: int) -> Iterator[None]:
    """Direct the descriptors 1 and 2, which C libraries write to as well, to files."""
    kept = os.dup(1), os.dup(2)
    _connect_stdout(case, out)
    os.dup2(err, 2)
    stdout = None if case.stdout == "closed" else _text_stream(1, buffering=-1)  # as Python itself starts
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(_text_stream(2, buffering=0)):
            yield
    finally:
        with contextlib.suppress(OSError):
            if stdout is not None:
                stdout.close()
        for target, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)


def _text_stream(descriptor: int, buffering: int) -> io.TextIOWrapper:
    binary = open(descriptor, "wb", buffering=buffering, closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", write_through=buffering == 0)


def _connect_stdout(case: Case, out: int) -> None:
    if case.stdout == "full":
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, 1)
        os.close(full)
    elif case.stdout == "broken":
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, 1)
        os.close(write)
    elif case.stdout == "closed":
        os.close(1)
    else:
        os.dup2(out, 1)


@contextlib.contextmanager
def _size_limit(size: int | None) -> Iterator[None]:
    """Let writing to a file beyond `size` bytes fail with EFBIG."""
    if size is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
