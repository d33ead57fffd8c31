"""`netc time NET`: time each layer, forward and backward, as `caffe time`."""

from __future__ import annotations

import sys

import click

from netc.cli.net_options import NetArguments, net_options
from netc.cli.output import option


@click.command(name="time")
@net_options
@option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
def command(asked: NetArguments, phase: str) -> None:
    """Time each layer of a net, forward and backward."""
    from netc.training.evaluation import time_layers
    from netc.training.log.caffe_log import GlogWriter

    listener = GlogWriter(sys.stderr)
    with asked.open(phase, listener) as opened:
        time_layers(opened, asked.iterations, listener)
