"""Callbacks for the progress of a tool."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""`progress(done, total)`, called during the work; a total of 0 is unknown."""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""
