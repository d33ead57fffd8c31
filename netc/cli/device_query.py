"""`netc device_query`: Print the properties of GPUs."""

from __future__ import annotations

import click

from netc.cli.glog import log_listener
from netc.cli.options import option


@click.command(name="device_query")
@option("--gpu", metavar="0|0,1|all", default="all", show_default=True, help="GPUs to describe.")
def command(gpu: str) -> None:
    """Print the properties of GPUs, as Caffe's `caffe device_query`."""
    from netc.training.device import describe_gpus

    with log_listener() as listener:
        describe_gpus(gpu, listener)
