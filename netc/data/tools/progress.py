"""How a tool reports its progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""`progress(done, total)`, called as the work goes on; a total of 0 is unknown."""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""
