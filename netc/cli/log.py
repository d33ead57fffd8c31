"""`netc log LOG [FOLDER]`: a training's log as tables, as Caffe's parse_log.py."""

from __future__ import annotations

from pathlib import Path

import click

from netc.cli.output import option


@click.command(name="log")
@click.argument("log", metavar="LOG")
@click.argument("folder", metavar="[FOLDER]", required=False)
@option("--delimiter", default=",", show_default=True, help="What stands between two columns.")
def command(log: str, folder: str | None, delimiter: str) -> None:
    """Write LOG.train and LOG.test: iterations, seconds, learning rate and outputs, separated by commas.

    FOLDER is where they go, without it beside the log. Further test nets give LOG.test1, LOG.test2, ...
    """
    from netc.training.log.parse_log import read_log, write_tables

    if len(delimiter) != 1:
        raise click.BadParameter("one character", param_hint="--delimiter")
    for path, rows in write_tables(read_log(log), folder or Path(log).parent, delimiter):
        click.echo(f"{path}: {rows} row{'s' * (rows != 1)}")
