"""`netc plot LOG... -o IMAGE`: Plot loss, accuracy and learning rate of training runs."""

from __future__ import annotations

import click

from netc.cli.options import option
from netc.cli.terminal import say, show
from netc.diagnostics import counted


@click.command(name="plot")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@option(
    "-o",
    "--output",
    default="training.png",
    show_default=True,
    metavar="FILE",
    help="A .png, .svg or .pdf.",
)
@option("--seconds", is_flag=True, help="Plot over time instead of iterations.")
@option("--logarithmic", is_flag=True, help="Use a logarithmic axis for the loss.")
def command(logs: tuple[str, ...], output: str, seconds: bool, logarithmic: bool) -> None:
    """Plot the training runs of one or several logs, of Caffe or netc, finished or running, into one image."""
    from netc.training.log.parse_log import read_log
    from netc.training.log.plots import draw

    runs = [read_log(log) for log in logs]
    show([warning for run in runs for warning in run.warnings()])
    lines = draw(runs, output, seconds=seconds, logarithmic=logarithmic)
    say(f"{output}: {counted(len(lines), 'line')} of {counted(len(logs), 'run')}")
