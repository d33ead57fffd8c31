"""Files that layers write: complete or absent, and never in place of a file of another program."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from netc.files import exists, is_file, reason_of
from netc.ir.layer import FileAccess, fail

_WRITTEN: set[str] = set()
"""Real paths of the files that this process has written: their formats have no place for netc's mark."""


def write_file(name: str, data: bytes, access: FileAccess, field: str) -> None:
    """Write a file and the folders above it; with access `own`, one that exists must be this process's.

    Raises NetcError E408 if it cannot be written, E412 for a file of another program; the file is then as it was.
    """
    path = os.path.realpath(name) if "\0" not in name else name
    if access == "own" and path not in _WRITTEN and is_file(path):
        fail(
            f"`{name}` exists, and this run did not write it",
            code="E412",
            field=field,
            help="`--overwrite` replaces it",
        )
    try:
        if exists(path) and not is_file(path):
            raise OSError(0, "it is not a regular file")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _replace(Path(path), data)
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        fail(f"cannot write `{name}`: {reason_of(error)}", code="E408", field=field)
    _WRITTEN.add(path)


def _replace(path: Path, data: bytes) -> None:
    """Write the data next to the file, then rename it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
