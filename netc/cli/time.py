"""`netc time NET`: Time each layer, forward and backward."""

from __future__ import annotations

import sys

import click

from netc.cli.net_options import NetOptions, net_options


@click.command(name="time")
@net_options("train")
def command(options: NetOptions) -> None:
    """Time each layer of a net, forward and backward, as Caffe's `caffe time`."""
    from netc.training.evaluation import time_layers
    from netc.training.log.caffe_log import GlogWriter

    listener = GlogWriter(sys.stderr)
    with options.open(listener) as opened:
        time_layers(opened, options.iterations, listener)
