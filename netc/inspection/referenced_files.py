"""The files that a net refers to: missing files, and absolute paths that other machines may not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

from netc import paths
from netc.compiler import record_shapes
from netc.diagnostics import Diagnostic, NetcError, Span
from netc.files import exists
from netc.text import with_slashes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.graph import Node
    from netc.ir.layer import Shapes
    from netc.ir.origin import FileReference, Origin

MATRIX, MEAN = "infogain matrix", "mean file"
"""Files of one blob, by their description."""


def check_path(found: FileReference) -> Iterator[Diagnostic]:
    """Yield W020 for a missing file, W108 for an absolute path, W111 for a path with control characters, and E401 to
    E406 for an infogain matrix that is not one.
    """
    control = next((c for c in found.path if c < " "), None)
    if control is not None:
        yield _escaped(found, control)
    elif found.what and not file_exists(found.path, found.span):
        yield Diagnostic("W020", f"the {found.what} `{found.path}` does not exist", found.span)
    elif found.what == MATRIX:
        yield from _faults(found)
    if is_absolute(found.path):
        yield Diagnostic(
            "W108",
            f"`{found.path}` is an absolute path, which other machines may not have",
            found.span,
            help="use a path relative to the working directory",
        )


def _faults(found: FileReference) -> tuple[Diagnostic, ...]:
    """What is wrong with a file of one blob."""
    from netc.weights import read_blob

    try:
        read_blob(paths.find(found.path, found.span.source.name if found.span else None)[0])
    except NetcError as error:
        return error.at(found.span).diagnostics
    return ()


def _escaped(found: FileReference, control: str) -> Diagnostic:
    """W111: the backslash of a Windows path began an escape sequence."""
    raw = found.span.text if found.span else repr(found.path)
    shown = repr(control)[1:-1]
    return Diagnostic(
        "W111",
        f"the path contains a control character: `{shown}` is an escape sequence",
        found.span,
        help=f"write the path with slashes: `{with_slashes(raw)}`" if "\\" in raw else None,
    )


def file_exists(path: str, span: Span | None) -> bool:
    """Whether Caffe or `paths.find` would find a file or directory with that path."""
    return exists(paths.find(path, span.source.name if span else None)[0])


def is_absolute(path: str) -> bool:
    r"""Whether a path is absolute on any system.

    >>> is_absolute("/data/x"), is_absolute("C:\\data\\x"), is_absolute("examples/x"), is_absolute("~/x")
    (True, True, False, True)
    """
    return path.startswith(("/", "~")) or PureWindowsPath(path).is_absolute()


class SourceProbe:
    """Reads the record shapes of the sources of data layers, each once.

    What is missing is a warning, since another machine may have it. What exists and cannot be used is an error, as it
    is in training.
    """

    def __init__(self) -> None:
        self.results: dict[Origin, Shapes | NetcError | None] = {}
        self.warnings: list[Diagnostic] = []
        """W020 for files that sources name and that do not exist."""

    def __call__(self, node: Node) -> Shapes | None:
        """Return the shapes of one record, None if the source does not exist. Raises NetcError if it is invalid."""
        key = node.origin
        if key not in self.results:
            self.results[key] = self._read(node)
        result = self.results[key]
        if isinstance(result, NetcError):
            raise result
        return result

    def _read(self, node: Node) -> Shapes | NetcError | None:
        files = [file for file in node.origin.files() if file.what]
        existing = [file for file in files if file_exists(file.path, file.span)]
        if len(existing) < len(files):
            wrong = [d for file in existing if file.what == MEAN for d in _faults(file)]
            return NetcError(wrong) if wrong else None
        try:
            return record_shapes(node)
        except NetcError as error:
            missing = [d for d in error.diagnostics if d.missing]
            self.warnings += [replace(d, code="W020", span=d.span or node.span) for d in missing]
            wrong = [d for d in error.diagnostics if not d.missing]
            return NetcError(wrong) if wrong else None
