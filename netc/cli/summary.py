"""`netc summary NET`: shapes, parameters, multiply-adds and activation memory."""

from __future__ import annotations

import click

from netc.cli.output import option, parse_shapes
from netc.inspection import summary


@click.command(name="summary")
@click.argument("net")
@option("--phase", type=click.Choice(["train", "test"]), default="test", show_default=True)
@option("--level", default=0, show_default=True, help="Level of the net's state.")
@option("--stage", multiple=True, help="A stage of the net's state; may be repeated.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
def command(net: str, phase: str, level: int, stage: tuple[str, ...], shape: tuple[str, ...]) -> None:
    """Print a net's layers with shapes, parameters, multiply-adds and bytes, and the totals."""
    click.echo(str(summary(net, phase=phase, level=level, stages=stage, shapes=parse_shapes(shape))))
