"""Caffe2's front end: NetDefs as text, and as binary files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, Report, Source
from netc.frontends.caffe2.definition import Caffe2Net
from netc.frontends.caffe2.reading import read_binary, read_text
from netc.frontends.front_end import FrontEnd, ReadRequest
from netc.text import Tree, parse_with_errors
from netc.weights.file_type import map_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OWN = re.compile(r"\bop\s*:?\s*[{<]|\bexternal_(?:in|out)put\s*:")
"""Fields of a NetDef that no message of Caffe has at any depth."""


class Caffe2FrontEnd(FrontEnd):
    """NetDefs of any version of Caffe2."""

    name = "caffe2"

    def recognizes(self, content: str) -> bool:
        """Whether the content is a binary NetDef."""
        return content == "caffe2"

    def recognizes_text(self, source: Source) -> bool:
        """Whether the text has a field of a NetDef, and none of a net of Caffe."""
        if not _OWN.search(source.text):
            return False
        names = {field.name for field in parse_with_errors(source)[0].root.fields}
        own = names & {"op", "external_input", "external_output"}
        return bool(own) and names.isdisjoint(("layer", "layers", "input"))

    def read_text(self, source: Source, request: ReadRequest) -> Caffe2Net:
        """Read the net in a text."""
        _check(source.name, request)
        found = Caffe2Net(read_text(source), source)
        found.has_syntax_errors = not found.content.operators and bool(found.report.errors)
        return found

    def read_binary(self, path: Path, request: ReadRequest) -> Caffe2Net:
        """Read the net in a binary file. Raises NetcError E403 or E405 for a damaged one."""
        _check(str(path), request)
        return Caffe2Net(read_binary(map_file(path), str(path)), Source(str(path), ""))

    def tree(self, source: Source, values: Mapping[str, str] | None = None) -> tuple[Tree, Report]:
        """Parse a text."""
        tree, errors = parse_with_errors(source)
        return tree, Report(errors)

    def upgrade(self, tree: Tree) -> Report:
        """Nothing: Caffe2 has no old formats."""
        return Report()


def _check(name: str, request: ReadRequest) -> None:
    """Raise NetcError E100 if a solver is wanted, and E806 for a dialect of Caffe."""
    if request.kind == "solver":
        raise NetcError(f"`{name}` is a net definition, expected a solver")
    if request.dialect is not None:
        raise NetcError(f"`{name}` is a Caffe2 net, which has no dialect `{request.dialect}`", code="E806")
