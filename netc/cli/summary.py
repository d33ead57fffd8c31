"""`netc summary NET`: Print shapes, parameters, multiply-adds and memory."""

from __future__ import annotations

import click

from netc.cli.options import (
    format_option,
    level_option,
    option,
    parse_shapes,
    parse_values,
    set_option,
    shape_option,
    stage_option,
)
from netc.cli.streams import read_input
from netc.inspection import summary

FORMATS = {"text": "__str__", "json": "to_json", "csv": "to_csv", "markdown": "to_markdown"}


@click.command(name="summary")
@click.argument("net")
@option("--phase", type=click.Choice(["train", "test"]), default="test", show_default=True, help="Phase of the net.")
@level_option()
@stage_option()
@shape_option()
@option("--batch", type=click.IntRange(min=1), help="Batch size; by default the one in the file.")
@set_option()
@format_option(*FORMATS)
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
    """Print the layers of a net with shapes, receptive fields, parameters, multiply-adds and memory, and totals.

    NET is a prototxt; `-` is standard input.
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
