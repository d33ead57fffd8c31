"""`netc time NET`: time each layer, forward and backward, as `caffe time`."""

from __future__ import annotations

import sys
from typing import Any

import click

from netc.cli.net_options import net_options
from netc.cli.output import option
from netc.cli.python_layers import extension_of


@click.command(name="time")
@net_options
@option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
def command(
    net: str,
    weights: list[str],
    iterations: int,
    gpu: str | None,
    level: int,
    stages: list[str],
    allow_python_layers: bool,
    phase: str,
) -> None:
    """Time each layer of a net, forward and backward."""
    from netc.compiler import phase_of
    from netc.training.log import GlogWriter
    from netc.training.single import open_net, time_layers

    tell = GlogWriter(sys.stderr)
    state: dict[str, Any] = {"level": level, "stages": stages, "extension": extension_of(allow_python_layers)}
    with open_net(net, phase_of(phase), weights=weights, gpu=gpu, tell=tell, **state) as opened:
        time_layers(opened, iterations, tell)
