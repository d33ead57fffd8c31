"""The page of each error and warning code."""

from __future__ import annotations

from pathlib import Path

from netc.diagnostics import NetcError, did_you_mean

FOLDER = Path(__file__).parent.parent / "errors"
"""One Markdown page per code."""


def codes() -> dict[str, str]:
    """Return every code with the heading of its page."""
    return {path.stem: _heading(path) for path in sorted(FOLDER.glob("[EW][0-9][0-9][0-9].md"))}


def code_page(code: str) -> str:
    """Return the page of a code: meaning, example and remedy. Raises NetcError E100 for an unknown code."""
    name = code.strip().upper()
    known = {path.stem: path for path in FOLDER.glob("[EW][0-9][0-9][0-9].md")}
    if name not in known:
        help = did_you_mean(name, known) or "`netc explain --list` lists all codes"
        raise NetcError(f"unknown code `{code}`", help=help)
    return known[name].read_text(encoding="utf-8")


def _heading(path: Path) -> str:
    with path.open(encoding="utf-8") as page:
        return page.readline().lstrip("# ").removeprefix(path.stem).lstrip(": ").rstrip("\n")
