"""What is wrong with a net: findings whose notes name bottoms before their shapes are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from netc.diagnostics import Diagnostic, Report
from netc.ir.dims import text
from netc.ir.graph import Graph


@dataclass
class GraphReport(Report):
    """The findings of building a graph; shapes are inferred later."""

    bottoms: dict[str, tuple[tuple[str, str | None], ...]] = field(default_factory=dict)
    """For each note that names bottoms: their blobs, and the values that these were, None for a faulty one."""

    def with_shapes(self, graph: Graph) -> list[Diagnostic]:
        """The findings, with the shapes of bottoms; `graph` is the one built, inferred, perhaps without some values."""
        return [replace(d, notes=tuple(self._shaped(note, graph) for note in d.notes)) for d in self.diagnostics]

    def _shaped(self, note: str, graph: Graph) -> str:
        if note not in self.bottoms:
            return note
        shown = (
            blob + (text(graph.shape(value)) if value and value in graph.values else "")
            for blob, value in self.bottoms[note]
        )
        return note[: note.rindex(", bottoms: ")] + ", bottoms: " + ", ".join(shown)
