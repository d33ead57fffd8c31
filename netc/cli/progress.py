"""Who listens to a run on the command line: Caffe's log on stderr, and on a terminal a progress bar below it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from netc.training.events import Advanced, Displayed, Event, Listener, Started
from netc.training.log import GlogWriter


@contextmanager
def listeners() -> Iterator[Listener]:
    """A listener that writes the log; while the context lasts, a terminal shows a bar as well."""
    if not sys.stderr.isatty():
        yield GlogWriter(sys.stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("training", total=None, loss="")
        log = GlogWriter(sys.stderr)  # rich put its own stream there, which prints above the bar

        def tell(event: Event) -> None:
            if isinstance(event, Advanced):
                progress.update(task, completed=event.iteration)
                return
            if isinstance(event, Started):
                progress.update(task, total=event.max_iter, completed=event.iteration)
            elif isinstance(event, Displayed):
                progress.update(task, loss=f"loss {event.loss:.4g}")
            log(event)

        yield tell
