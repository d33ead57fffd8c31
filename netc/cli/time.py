"""`netc time NET`: Time each layer, forward and backward."""

from __future__ import annotations

import click

from netc.cli.glog import log_listener
from netc.cli.net_options import NetOptions, net_options
from netc.cli.options import parse_shapes, shape_option


@click.command(name="time")
@net_options("train")
@shape_option()
def command(options: NetOptions, shape: tuple[str, ...]) -> None:
    """Time each layer of a net, forward and backward, as Caffe's `caffe time`.

    Inputs and MemoryData layers, which a program would feed, get random numbers; labels are 0.
    """
    shapes = parse_shapes(shape)
    from netc.training.evaluation import time_layers

    with log_listener() as listener, options.open(listener, shapes=shapes, random_input=True) as opened:
        time_layers(opened, options.iterations, listener)
