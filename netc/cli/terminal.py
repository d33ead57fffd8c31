"""What verbs print: results on standard output, diagnostics and progress bars on standard error.

Names in files are not trusted: whatever is printed has its control characters escaped.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from netc.diagnostics import Diagnostic, render, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_HEAD = re.compile(r"^(error|warning)(\[\w+\]): (.*)$", re.MULTILINE)
_COLORS = {"error": "red", "warning": "yellow"}


def say(text: str = "", *, nl: bool = True, err: bool = False) -> None:
    """Print a text on standard output, or on standard error with `err`."""
    click.echo(visible(text, keep="\n\t"), nl=nl, err=err)


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Print diagnostics on standard error."""
    if not diagnostics:
        return
    text = render(diagnostics)
    if sys.stderr.isatty():
        text = _HEAD.sub(_colored, text)
    click.echo(text, err=True)


def _colored(match: re.Match[str]) -> str:
    severity, code, message = match.groups()
    return f"{click.style(severity + code, fg=_COLORS[severity], bold=True)}: {click.style(message, bold=True)}"


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """Yield `progress(done, total)`, which updates a bar on a terminal, and does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)
