"""`netc diff A B`: how two nets differ in what they mean."""

from __future__ import annotations

import click

from netc.cli.output import option, parse_shapes
from netc.cli.streams import parse_values, read_input, set_option
from netc.inspection import diff


@click.command(name="diff")
@click.argument("one")
@click.argument("other")
@option("--level", default=0, show_default=True, help="Level of the nets' state.")
@option("--stage", multiple=True, help="A stage of the nets' state; may be repeated.")
@option("--shape", multiple=True, metavar="BLOB=N,C,H,W", help="Shape of a blob that only data would tell.")
@set_option()
@option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    one: str, other: str, level: int, stage: tuple[str, ...], shape: tuple[str, ...], set_: tuple[str, ...], style: str
) -> int:
    """Compare two nets by meaning: layers, parameters, wiring, shapes.

    Exit status 0 where they mean the same, 1 where they do not.
    """
    shapes, values = parse_shapes(shape), parse_values(set_)
    found = diff(read_input(one), read_input(other), level=level, stages=stage, shapes=shapes, values=values)
    click.echo(found.to_json() if style == "json" else str(found))
    return int(bool(found))
