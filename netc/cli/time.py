"""`netc time --model NET`: time each layer, forward and backward, as `caffe time`."""

from __future__ import annotations

import sys

import click

from netc.cli.output import option


@click.command(name="time")
@click.argument("net", required=False)
@option("--model", metavar="FILE", help="The net, in Caffe's spelling.")
@option("--weights", metavar="FILE[,FILE]", help="Weights; without them the fillers give some.")
@option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="How many passes to time.")
@option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
@option("--gpu", metavar="N", help="The GPU to run on; without it the CPU does.")
@option("--level", default=0, help="Level of the net's state.")
@option("--stage", multiple=True, help="A stage of the net's state; may be repeated, or hold commas.")
def command(
    net: str | None,
    model: str | None,
    weights: str | None,
    iterations: int,
    phase: str,
    gpu: str | None,
    level: int,
    stage: tuple[str, ...],
) -> None:
    """Time each layer of a net, forward and backward."""
    if bool(net) == bool(model):
        raise click.UsageError("give one net: `netc time NET` or `--model=NET`")
    from netc.compiler import phase_of
    from netc.training.log import GlogWriter
    from netc.training.single import open_net, time_layers

    tell = GlogWriter(sys.stderr)
    files = weights.split(",") if weights else []
    stages = [name for value in stage for name in value.split(",")]
    opened = open_net(
        net or model or "", phase_of(phase), weights=files, gpu=gpu, level=level, stages=stages, tell=tell
    )
    with opened:
        time_layers(opened, iterations, tell)
