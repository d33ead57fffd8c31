"""The diagnostics of an upgrade: one per kind of change, with the number of occurrences."""

from __future__ import annotations

from dataclasses import dataclass, field

from netc.diagnostics import Diagnostic, Report, Span, counted, in_order

REWRITE = "`netc upgrade` rewrites the file"


@dataclass
class _Kind:
    """One kind of change: its first and last position, and the number of occurrences."""

    first: Span | None
    notes: tuple[str, ...]
    help: str | None
    last: Span | None = None
    count: int = 1


@dataclass
class Findings:
    """Collects changes by code and message."""

    kinds: dict[tuple[str, str], _Kind] = field(default_factory=dict)

    def note(
        self, code: str, message: str, span: Span | None, notes: tuple[str, ...] = (), help: str | None = REWRITE
    ) -> None:
        """Record a change, or an error (a code that starts with E)."""
        known = self.kinds.get((code, message))
        if known is None:
            self.kinds[code, message] = _Kind(span, notes, help)
        else:
            known.count += 1
            known.last = span or known.last

    def report(self) -> Report:
        """Return the diagnostics, each at its first position, in file order."""
        return Report(in_order(_diagnostic(code, message, kind) for (code, message), kind in self.kinds.items()))


def _diagnostic(code: str, message: str, kind: _Kind) -> Diagnostic:
    notes = kind.notes
    if kind.count > 1:
        last = f", the last on line {kind.last.line}" if kind.last else ""
        notes = (*notes, f"in {counted(kind.count, 'place')}{last}")
    return Diagnostic(code, message, kind.first, notes, kind.help)
