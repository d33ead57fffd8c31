"""Finds the files that a prototxt names: as Caffe does, then in the directories around the prototxt.

In Caffe every path is relative to the working directory. The paths of a net from another machine rarely exist,
so the directories around the file that names them are searched as well, and a note reports it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from netc.files import exists

ResolvePath = Callable[[str], Path]
"""Finds the file that a prototxt names."""


def find(name: str, near: str | Path | None = None) -> tuple[Path, str | None]:
    """The path of `name`, and a note if Caffe would not find it there.

    `near` is the file that names it. Searched in order: the working directory; the directory of `near` and those
    above it; the base name next to `near`. A name that is not found is returned unchanged.
    """
    path = Path(name)
    if exists(path) or near is None:
        return path, None
    for candidate in _candidates(path, Path(near)):
        if exists(candidate):
            return candidate, f"`{name}` not found; using `{candidate}`"
    return path, None


def _candidates(path: Path, near: Path) -> Iterator[Path]:
    folder = Path(os.path.abspath(near)).parent  # noqa: PTH100 - links are not followed
    if not path.is_absolute():
        for parent in (folder, *folder.parents):
            yield _short(parent / path)
    if path.name:
        yield _short(folder / path.name)


def _short(path: Path) -> Path:
    """The path relative to the working directory, if it is below it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
