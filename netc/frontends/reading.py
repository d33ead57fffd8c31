"""Reads files to definitions. Front ends are registered here and selected by the content of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, Report, Source
from netc.files import open_regular
from netc.frontends.caffe.definition import CaffeNet
from netc.frontends.caffe.forks import unsupported
from netc.frontends.caffe.front_end import CaffeFrontEnd
from netc.frontends.caffe.read import empty_fields
from netc.frontends.caffe2.front_end import Caffe2FrontEnd, is_plan
from netc.frontends.definition import NetDefinition, PlanDefinition, SolverDefinition
from netc.frontends.front_end import FrontEnd, ReadRequest
from netc.text import Tree, read_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from netc.ir.fields import Fields

FRONT_ENDS: tuple[FrontEnd, ...] = (Caffe2FrontEnd(), CaffeFrontEnd())
"""Every front end; the first that recognizes a file reads it."""

_TEXT_CONTROLS = frozenset(b"\t\n\r\f\v\b\x1b")
_HEAD = 4096
"""Number of bytes by which text and binary files are distinguished."""


def read(
    path: str | os.PathLike[str] | Source,
    values: Mapping[str, str] | None = None,
    strict: bool = False,
    dialect: str | None = None,
) -> NetDefinition | SolverDefinition:
    """Read the definition in a file, or in a Source in memory.

    `values` fill the placeholders of a template by name. With `strict`, everything that is not part of BVLC's schema is
    W001. `dialect` is the fork of Caffe that the file is for, if its content does not identify it. Errors in the text
    are in the report of the definition. Raises NetcError for a file that cannot be read: E001, E401 to E406, E806.
    """
    return _read(path, ReadRequest(None, values, strict, dialect))


def read_net(
    path: str | os.PathLike[str] | Source,
    values: Mapping[str, str] | None = None,
    strict: bool = False,
    dialect: str | None = None,
    scope: str = "",
) -> NetDefinition:
    """Read the net in a file; see `read`. Raises NetcError E100 for a solver.

    `scope` is a prefix that is removed from the names of a Caffe2 net's blobs; no other format has scopes.
    """
    found = _read(path, ReadRequest("net", values, strict, dialect, scope))
    assert isinstance(found, NetDefinition)
    return found


def read_solver(path: str | os.PathLike[str] | Source, values: Mapping[str, str] | None = None) -> SolverDefinition:
    """Read the solver in a file; see `read`. Raises NetcError E100 for a net."""
    found = _read(path, ReadRequest("solver", values))
    assert isinstance(found, SolverDefinition)
    return found


def read_plan(path: str | os.PathLike[str] | Source) -> PlanDefinition | None:
    """Read the plan in a file, None if the file is none; see `read`. Raises NetcError E401 to E405."""
    if not isinstance(path, Source):
        found = _binary_content(path)
        if found == "caffe2_plan":
            from netc.frontends.caffe2.plan import read_plan_binary
            from netc.weights.file_type import map_file
            from netc.weights.wire import Wire

            return read_plan_binary(Wire(map_file(path), os.fspath(path)))
        if found is not None:
            return None
        path = read_source(path)
    if not is_plan(path):
        return None
    from netc.frontends.caffe2.plan import read_plan_text

    return read_plan_text(path)


def _read(path: str | os.PathLike[str] | Source, request: ReadRequest) -> NetDefinition | SolverDefinition:
    if isinstance(path, Source):
        return _text_front_end(path).read_text(path, request)
    binary = None if request.kind == "solver" else _binary_content(path)
    if binary is not None:
        return _front_end(binary).read_binary(Path(path), request)
    source = read_source(path)
    _refuse_stand_in(source)
    return _text_front_end(source).read_text(source, request)


def _refuse_stand_in(source: Source) -> None:
    """Raise NetcError E402 for a text that was saved in place of the file: an HTML page, a Git LFS pointer."""
    head = source.text[:_HEAD].lstrip("\ufeff \t\r\n").lower()
    if head.startswith(("<", "version https://git-lfs")):
        from netc.weights.file_type import content, wrong_type

        found = content(memoryview(head.encode("utf-8", "surrogateescape")))
        if found in ("html", "lfs"):
            raise wrong_type(source.name, found, "prototxt")


def embedded_net(fields: Fields, dialect: str | None = None) -> NetDefinition:
    """Return the net that is embedded in a solver as a message."""
    span = fields.span()
    return CaffeNet(fields, Report(), span.source if span else Source("<solver>", ""), dialect=dialect)


def empty_solver() -> Fields:
    """Return solver settings without any value."""
    return empty_fields("caffe.SolverParameter")


def unsupported_settings(solver: Fields) -> Iterator[Diagnostic]:
    """Yield E106 for each unsupported setting of a fork."""
    return unsupported(solver, "SolverParameter")


def read_tree(source: Source, values: Mapping[str, str] | None = None) -> tuple[Tree, Report]:
    """Return the tree of a text before any upgrade, with the diagnostics of filling and parsing it."""
    return _text_front_end(source).tree(source, values)


def upgrade_tree(tree: Tree) -> Report:
    """Upgrade a tree to the newest format in place; the report lists the changes."""
    return _text_front_end(tree.source).upgrade(tree)


def _text_front_end(source: Source) -> FrontEnd:
    return next(front_end for front_end in FRONT_ENDS if front_end.recognizes_text(source))


def _front_end(content: str) -> FrontEnd:
    return next(front_end for front_end in FRONT_ENDS if front_end.recognizes(content))


def _binary_content(path: str | os.PathLike[str]) -> str | None:
    """The content of a binary file that a front end recognizes; None for a text file or an unreadable one."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return None
    if all(byte >= 32 or byte in _TEXT_CONTROLS for byte in head):
        return None
    from netc.weights.file_type import content, map_file

    found = content(map_file(path))
    return found if any(front_end.recognizes(found) for front_end in FRONT_ENDS) and found != "text" else None
