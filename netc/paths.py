"""Files that a prototxt names: found as Caffe finds them, then helpfully.

Caffe takes every path from the working directory. A net that moved to another machine rarely lies where its paths say,
so the folders around the file that names it are searched as well, and a note says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

ResolvePath = Callable[[str], Path]
"""Finds the file that a prototxt names."""


def find(name: str, near: str | Path | None = None) -> tuple[Path, str | None]:
    """Where `name` is, and a note where that is not where Caffe would look.

    `near` is the file that names it. Searched in order: the working directory; the folder of `near` and the folders
    above it; the base name beside `near`. What is nowhere is returned as it was given.
    """
    path = Path(name)
    if path.exists() or near is None:
        return path, None
    for candidate in _candidates(path, Path(near)):
        if candidate.exists():
            return candidate, f"`{name}` is not here; took `{candidate}`"
    return path, None


def _candidates(path: Path, near: Path) -> Iterator[Path]:
    folder = Path(os.path.abspath(near)).parent
    if not path.is_absolute():
        for parent in (folder, *folder.parents):
            yield _short(parent / path)
    if path.name:
        yield _short(folder / path.name)


def _short(path: Path) -> Path:
    """The path from the working directory where it lies below it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
