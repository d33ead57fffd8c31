"""`netc log LOG [FOLDER]`: Convert a training log to tables."""

from __future__ import annotations

from pathlib import Path

import click

from netc.cli.options import option
from netc.cli.terminal import say, show
from netc.diagnostics import counted


@click.command(name="log")
@click.argument("log", metavar="LOG")
@click.argument("folder", metavar="[FOLDER]", required=False)
@option("--delimiter", default=",", show_default=True, help="Character between two columns.")
def command(log: str, folder: str | None, delimiter: str) -> None:
    """Convert a training log of Caffe or netc to tables, as Caffe's parse_log.py does.

    Writes LOG.train and LOG.test with iterations, seconds, learning rate and outputs to FOLDER, by default the folder
    of the log. Further test nets are written to LOG.test1, LOG.test2, ... A warning counts lines with results that
    are not understood.
    """
    from netc.training.log.log_tables import write_tables
    from netc.training.log.parse_log import read_log

    if len(delimiter) != 1:
        raise click.BadParameter("expected one character", param_hint="--delimiter")
    found = read_log(log)
    show(found.warnings())
    for path, rows in write_tables(found, folder or Path(log).parent, delimiter):
        say(f"{path}: {counted(rows, 'row')}")
