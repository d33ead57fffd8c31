"""The diagnostics of building a graph, whose notes name bottoms before their shapes are inferred."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, Report
from netc.ir.dims import text

if TYPE_CHECKING:
    from netc.ir.graph import Graph


@dataclass
class GraphReport(Report):
    """The diagnostics of building a graph; shapes are inferred later."""

    bottoms: dict[str, tuple[tuple[str, str | None], ...]] = field(default_factory=dict)
    """For each note that names bottoms: the blobs and their values, None for a blob of a layer with an error."""

    def with_shapes(self, graph: Graph) -> list[Diagnostic]:
        """Return the diagnostics with the shapes of bottoms; `graph` has shapes and may lack some of the values."""
        return [replace(d, notes=tuple(self._shaped(note, graph) for note in d.notes)) for d in self.diagnostics]

    def _shaped(self, note: str, graph: Graph) -> str:
        if note not in self.bottoms:
            return note
        shown = [
            blob + (text(graph.shape(value)) if value and value in graph.values else "")
            for blob, value in self.bottoms[note]
        ]
        return note[: note.rindex(": ")] + ": " + ", ".join(shown)
