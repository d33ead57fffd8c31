"""`netc test NET --weights W`: score a net, as `caffe test`."""

from __future__ import annotations

import sys

import click

from netc.cli.net_options import NetArguments, net_options
from netc.cli.output import option


@click.command(name="test")
@net_options
@option("--skip-bad", is_flag=True, help="Pass over bad records; the log counts them.")
def command(asked: NetArguments, skip_bad: bool) -> None:
    """Run a net's test phase over batches of its own data, and print the mean of each output."""
    if not asked.weights:
        raise click.UsageError("give the weights to score: `--weights=FILE`")
    from netc.training.evaluation import score
    from netc.training.log.caffe_log import GlogWriter

    listener = GlogWriter(sys.stderr)
    with asked.open("TEST", listener, skip_bad) as opened:
        score(opened, asked.iterations, listener)
