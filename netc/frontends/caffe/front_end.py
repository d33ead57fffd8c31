"""Caffe's front end: prototxt text, and the net in a binary .caffemodel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, Report, Source, counted
from netc.frontends.caffe.definition import CaffeNet, CaffeSolver
from netc.frontends.caffe.file_kind import misplaced
from netc.frontends.caffe.read import is_solver, read, read_net, read_solver, read_tree, without_collector
from netc.frontends.caffe.upgrade import is_solver_tree, upgrade_tree
from netc.frontends.front_end import FrontEnd, ReadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.text import Tree


class CaffeFrontEnd(FrontEnd):
    """Nets and solvers in the formats of BVLC's Caffe and its forks, of any version."""

    name = "caffe"

    def recognizes(self, content: str) -> bool:
        """Whether the content is text or a binary NetParameter."""
        return content in ("text", "caffemodel", "hdf5")

    def recognizes_text(self, source: Source) -> bool:
        """Every text that no other front end recognizes."""
        return True

    def read_text(self, source: Source, request: ReadRequest) -> CaffeNet | CaffeSolver:
        """Read the net or solver in a text."""
        if request.dialect is not None:
            _check_dialect(request.dialect)
        reader = {"net": read_net, "solver": read_solver}.get(request.kind or "", read)
        fields, report = reader(source, request.values, request.strict)
        found = CaffeSolver(fields, report, source) if is_solver(fields) else CaffeNet(fields, report, source)
        found.has_syntax_errors = report.is_broken
        if isinstance(found, CaffeNet):
            found.dialect = request.dialect
        return found

    def read_binary(self, path: Path, request: ReadRequest) -> CaffeNet:
        """Read the net in a weights file, rebuilt as text; W803 reports how it was read."""
        from netc.frontends.caffe.binary import rebuilt

        found = rebuilt(path, request.dialect)
        source = Source(str(path), found.text)
        fields, report = read_net(source, None, request.strict)
        requested = request.dialect is not None
        note = _note(path, found.dialect, found.evidence, found.skipped, requested)
        known = found.dialect if requested or found.evidence else None
        diagnostics = Report([note, *report.diagnostics])
        return CaffeNet(fields, diagnostics, source, dialect=known, weights_file=path, blob_counts=found.blobs)

    def tree(self, source: Source, values: Mapping[str, str] | None = None) -> tuple[Tree, Report]:
        """Parse a text whose placeholders are filled from `values`."""
        return read_tree(source, values)

    def upgrade(self, tree: Tree) -> Report:
        """Upgrade a tree to the format of Caffe 1.0 in place; the report has a warning per kind of change, and E015."""
        with without_collector():
            found = [] if is_solver_tree(tree.root) else list(misplaced(tree.root))
            report = upgrade_tree(tree)
            report.extend(found)
            return report


def _check_dialect(name: str) -> None:
    """Raise NetcError E806 for an unknown dialect."""
    from netc.frontends.caffe.binary.dialects import named

    named(name)


def _note(path: Path, dialect: str, evidence: tuple[str, ...], skipped: int, requested: bool) -> Diagnostic:
    plain = "no fork explains more of its field numbers" if skipped else "all field numbers are BVLC's"
    how = "as requested" if requested else "; ".join(evidence) or plain
    notes = [f"read as `{dialect}`: {how}"]
    if skipped:
        notes.append(f"skipped {counted(skipped, 'field')} unknown to this dialect")
    help = None if requested else "use `--dialect` to read the file as that of another fork"
    return Diagnostic("W803", f"the net was read from `{path}`, without a prototxt", notes=tuple(notes), help=help)
