"""The files that a net names: what is not here, and what only one machine has under that name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PureWindowsPath

from netc import paths
from netc.compiler import record_shapes
from netc.diagnostics import Diagnostic, NetcError, Span
from netc.ir.graph import Node
from netc.ir.layer import Shapes
from netc.ir.origin import FileReference, Origin


def check_path(found: FileReference) -> Iterator[Diagnostic]:
    """W020 where nothing is there, W108 where the path is absolute."""
    if found.what and not is_here(found.path, found.span):
        yield Diagnostic("W020", f"the {found.what} `{found.path}` does not exist", found.span)
    if is_absolute(found.path):
        yield Diagnostic(
            "W108",
            f"`{found.path}` is an absolute path, which other machines may not have",
            found.span,
            help="use a path relative to the working directory",
        )


def is_here(path: str, span: Span | None) -> bool:
    """Whether there is a file or folder of that name, where Caffe or `paths.find` look for it."""
    try:
        return paths.find(path, span.source.name if span else None)[0].exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def is_absolute(path: str) -> bool:
    r"""Whether a path is absolute on any system.

    >>> is_absolute("/data/x"), is_absolute("C:\\data\\x"), is_absolute("examples/x"), is_absolute("~/x")
    (True, True, False, True)
    """
    return path.startswith(("/", "~")) or PureWindowsPath(path).is_absolute()


class SourceProbe:
    """Asks the sources of data layers for their records' shapes, each once; what is not here is no error."""

    def __init__(self) -> None:
        self.asked: dict[Origin, Shapes | NetcError | None] = {}
        self.warnings: list[Diagnostic] = []
        """W020 for sources that are here, but cannot be opened."""

    def __call__(self, node: Node) -> Shapes | None:
        """The shapes of one record, None where nothing is there to ask. Raises NetcError for a faulty source."""
        key = node.origin
        if key not in self.asked:
            self.asked[key] = self._ask(node)
        answer = self.asked[key]
        if isinstance(answer, NetcError):
            raise answer
        return answer

    def _ask(self, node: Node) -> Shapes | NetcError | None:
        if not all(is_here(file.path, file.span) for file in node.origin.files() if file.what):
            return None
        try:
            return record_shapes(node)
        except NetcError as error:
            if any(d.code != "E501" for d in error.diagnostics):
                return error
            self.warnings += [replace(d, code="W020", span=d.span or node.span) for d in error.diagnostics]
            return None


def writable_folder(path: str) -> str | None:
    """What is wrong with a folder that is to be written to, None where nothing is."""
    if not os.path.exists(path):
        return "does not exist"
    if not os.path.isdir(path):
        return "is not a directory"
    return None if os.access(path, os.W_OK) else "is not writable"
