"""`netc test --model NET --weights W`: score a net, as `caffe test`."""

from __future__ import annotations

import sys

import click

from netc.cli.output import option


@click.command(name="test")
@click.argument("net", required=False)
@option("--model", metavar="FILE", help="The net, in Caffe's spelling.")
@option("--weights", required=True, metavar="FILE[,FILE]", help="Trained weights, copied by layer name.")
@option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="How many batches to run.")
@option("--gpu", metavar="N", help="The GPU to run on; without it the CPU does.")
@option("--level", default=0, help="Level of the net's state.")
@option("--stage", multiple=True, help="A stage of the net's state; may be repeated, or hold commas.")
def command(
    net: str | None,
    model: str | None,
    weights: str,
    iterations: int,
    gpu: str | None,
    level: int,
    stage: tuple[str, ...],
) -> None:
    """Run a net's test phase over batches of its own data, and print the mean of each output."""
    if bool(net) == bool(model):
        raise click.UsageError("give one net: `netc test NET` or `--model=NET`")
    from netc.training.log import GlogWriter
    from netc.training.single import open_net, score

    tell = GlogWriter(sys.stderr)
    stages = [name for value in stage for name in value.split(",")]
    opened = open_net(
        net or model or "", "TEST", weights=weights.split(","), gpu=gpu, level=level, stages=stages, tell=tell
    )
    with opened:
        score(opened, iterations, tell)
