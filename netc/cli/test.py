"""`netc test NET --weights W`: score a net, as `caffe test`."""

from __future__ import annotations

import sys

import click

from netc.cli.net_options import net_options


@click.command(name="test")
@net_options
def command(net: str, weights: list[str], iterations: int, gpu: str | None, level: int, stages: list[str]) -> None:
    """Run a net's test phase over batches of its own data, and print the mean of each output."""
    if not weights:
        raise click.UsageError("give the weights to score: `--weights=FILE`")
    from netc.training.log import GlogWriter
    from netc.training.single import open_net, score

    tell = GlogWriter(sys.stderr)
    with open_net(net, "TEST", weights=weights, gpu=gpu, level=level, stages=stages, tell=tell) as opened:
        score(opened, iterations, tell)
