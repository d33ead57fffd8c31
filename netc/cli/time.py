"""`netc time NET`: Time each layer, forward and backward."""

from __future__ import annotations

import sys

import click

from netc.cli.net_options import NetOptions, net_options
from netc.cli.options import option

PHASES = click.Choice(["TRAIN", "TEST"], case_sensitive=False)


@click.command(name="time")
@net_options
@option(
    "--phase",
    type=click.Choice(["TRAIN", "TEST"], case_sensitive=False),
    default="TRAIN",
    show_default=True,
    help="Phase of the net.",
)
def command(options: NetOptions, phase: str) -> None:
    """Time each layer of a net, forward and backward, as Caffe's `caffe time`."""
    from netc.training.evaluation import time_layers
    from netc.training.log.caffe_log import GlogWriter

    listener = GlogWriter(sys.stderr)
    with options.open(phase, listener) as opened:
        time_layers(opened, options.iterations, listener)
