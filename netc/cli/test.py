"""`netc test NET --weights W`: score a net, as `caffe test`."""

from __future__ import annotations

import sys
from typing import Any

import click

from netc.cli.net_options import net_options
from netc.cli.output import option
from netc.cli.python_layers import extension_of


@click.command(name="test")
@net_options
@option("--skip-bad", is_flag=True, help="Pass over bad records; the log counts them.")
def command(
    net: str,
    weights: list[str],
    iterations: int,
    gpu: str | None,
    level: int,
    stages: list[str],
    allow_python_layers: bool,
    skip_bad: bool,
) -> None:
    """Run a net's test phase over batches of its own data, and print the mean of each output."""
    if not weights:
        raise click.UsageError("give the weights to score: `--weights=FILE`")
    from netc.training.log import GlogWriter
    from netc.training.single import open_net, score

    tell = GlogWriter(sys.stderr)
    state: dict[str, Any] = {"level": level, "stages": stages, "extension": extension_of(allow_python_layers)}
    with open_net(net, "TEST", weights=weights, gpu=gpu, skip_bad=skip_bad, tell=tell, **state) as opened:
        score(opened, iterations, tell)
