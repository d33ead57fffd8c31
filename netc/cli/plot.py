"""`netc plot LOG... -o PICTURE`: draw loss, accuracy and learning rate of one or several runs."""

from __future__ import annotations

import click

from netc.cli.output import option


@click.command(name="plot")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@option("-o", "--output", default="training.png", show_default=True, metavar="FILE", help="PNG, SVG or PDF.")
@option("--seconds", is_flag=True, help="Draw over time, in place of iterations.")
@option("--logarithmic", is_flag=True, help="Give the loss a logarithmic axis.")
def command(logs: tuple[str, ...], output: str, seconds: bool, logarithmic: bool) -> None:
    """Draw the training runs that logs tell of, Caffe's or netc's, finished or running, into one picture."""
    from netc.training.log.parse_log import read_log
    from netc.training.log.plots import draw

    lines = draw([read_log(log) for log in logs], output, seconds=seconds, logarithmic=logarithmic)
    click.echo(f"{output}: {len(lines)} line{'s' * (len(lines) != 1)} of {len(logs)} run{'s' * (len(logs) != 1)}")
