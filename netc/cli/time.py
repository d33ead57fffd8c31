"""`netc time NET`: time each layer, forward and backward, as `caffe time`."""

from __future__ import annotations

import sys

import click

from netc.cli.net_options import net_options
from netc.cli.output import option


@click.command(name="time")
@net_options
@option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
def command(
    net: str, weights: list[str], iterations: int, gpu: str | None, level: int, stages: list[str], phase: str
) -> None:
    """Time each layer of a net, forward and backward."""
    from netc.compiler import phase_of
    from netc.training.log import GlogWriter
    from netc.training.single import open_net, time_layers

    tell = GlogWriter(sys.stderr)
    with open_net(net, phase_of(phase), weights=weights, gpu=gpu, level=level, stages=stages, tell=tell) as opened:
        time_layers(opened, iterations, tell)
