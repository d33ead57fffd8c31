"""Caffe2's front end: NetDefs as text, and as binary files.

What reads them is imported on first use: it needs NumPy, and takes a while, which files of Caffe need not wait for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, Report, Source
from netc.frontends.front_end import FrontEnd, ReadRequest
from netc.text import Tree, parse_with_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.frontends.caffe2.definition import Caffe2Net

_OWN = re.compile(r"\b(?:op|network|execution_step)\s*:?\s*[{<]|\bexternal_(?:in|out)put\s*:")
"""Fields of a NetDef or a PlanDef that no message of Caffe has at any depth."""
_NET, _PLAN = frozenset(("op", "external_input", "external_output")), frozenset(("network", "execution_step"))


class Caffe2FrontEnd(FrontEnd):
    """NetDefs of any version of Caffe2."""

    name = "caffe2"

    def recognizes(self, content: str) -> bool:
        """Whether the content is a binary NetDef, or a file that contains or may contain one."""
        return content in ("caffe2", "caffe2_plan", "meta_net", "minidb")

    def recognizes_text(self, source: Source) -> bool:
        """Whether the text has a field of a NetDef or of a PlanDef, and none of a net of Caffe."""
        if not _OWN.search(source.text):
            return False
        names = _names(source)
        return not names.isdisjoint(_NET | _PLAN) and names.isdisjoint(("layer", "layers", "input"))

    def read_text(self, source: Source, request: ReadRequest) -> Caffe2Net:
        """Read the net in a text. Raises NetcError E100 for a plan."""
        from netc.frontends.caffe2.definition import Caffe2Net
        from netc.frontends.caffe2.reading import read_text

        if _names(source).isdisjoint(_NET):
            raise _plan_error(source.name)
        _check(source.name, request)
        found = Caffe2Net(read_text(source), source)
        found.has_syntax_errors = not found.content.operators and bool(found.report.errors)
        return found.without_scope(request.scope)

    def read_binary(self, path: Path, request: ReadRequest) -> Caffe2Net:
        """Read the net in a binary file.

        Raises NetcError E100 for a plan and for a file of several models, E403 or E405 for a damaged one, and E806 for
        a database of blobs without a net.
        """
        from netc.frontends.caffe2.definition import Caffe2Net
        from netc.frontends.caffe2.predictor import read_predictor
        from netc.frontends.caffe2.reading import read_binary
        from netc.weights.file_type import content, map_file
        from netc.weights.wire import Wire

        _check(str(path), request)
        data = map_file(path)
        kind, wire = content(data), Wire(data, str(path))
        if kind == "caffe2_plan":
            raise _plan_error(str(path))
        if kind in ("minidb", "meta_net"):
            return read_predictor(wire, kind, path).without_scope(request.scope)
        return Caffe2Net(read_binary(wire, 0, len(data)), Source(str(path), "")).without_scope(request.scope)

    def tree(self, source: Source, values: Mapping[str, str] | None = None) -> tuple[Tree, Report]:
        """Parse a text."""
        tree, errors = parse_with_errors(source)
        return tree, Report(errors)

    def upgrade(self, tree: Tree) -> Report:
        """Nothing: Caffe2 has no old formats."""
        return Report()


def is_plan(source: Source) -> bool:
    """Whether a text is a PlanDef."""
    names = _names(source) if _OWN.search(source.text) else set()
    return not names.isdisjoint(_PLAN) and names.isdisjoint(_NET)


def _names(source: Source) -> set[str]:
    return {field.name for field in parse_with_errors(source)[0].root.fields}


def _plan_error(name: str) -> NetcError:
    help = "`netc train` runs a plan; its nets can be files of their own"
    return NetcError(f"`{name}` is a Caffe2 plan, expected a net", help=help)


def _check(name: str, request: ReadRequest) -> None:
    """Raise NetcError E100 if a solver is wanted; a dialect concerns Caffe's files, and those written for it."""
    if request.kind == "solver":
        raise NetcError(f"`{name}` is a net definition, expected a solver")
