"""`netc summary NET`: shapes, parameters, multiply-adds, memory and receptive fields."""

from __future__ import annotations

import click

from netc.cli.output import option, parse_shapes
from netc.cli.streams import parse_values, read_input, set_option
from netc.inspection import summary

FORMATS = {"text": "__str__", "json": "to_json", "csv": "to_csv", "markdown": "to_markdown"}


@click.command(name="summary")
@click.argument("net")
@option("--phase", type=click.Choice(["train", "test"]), default="test", show_default=True)
@option("--level", default=0, show_default=True, help="Level of the net's state.")
@option("--stage", multiple=True, help="A stage of the net's state; may be repeated.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
@option("--batch", type=click.IntRange(min=1), help="Batch size, instead of the file's.")
@set_option()
@option("--format", "style", type=click.Choice(list(FORMATS)), default="text", show_default=True)
def command(
    net: str,
    phase: str,
    level: int,
    stage: tuple[str, ...],
    shape: tuple[str, ...],
    batch: int | None,
    set_: tuple[str, ...],
    style: str,
) -> None:
    """Print a net's layers with shapes, receptive fields, parameters, multiply-adds and memory, and the totals.

    NET may be `-` for standard input.
    """
    found = summary(
        read_input(net),
        phase=phase,
        level=level,
        stages=stage,
        shapes=parse_shapes(shape),
        batch=batch,
        values=parse_values(set_),
    )
    click.echo(getattr(found, FORMATS[style])())
