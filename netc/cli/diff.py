"""`netc diff A B`: Compare two nets by meaning."""

from __future__ import annotations

from typing import Any

import click

from netc.cli.options import (
    format_option,
    parse_shapes,
    parse_values,
    set_option,
    shape_option,
)
from netc.cli.state_options import state_options
from netc.cli.streams import read_input
from netc.cli.terminal import say
from netc.inspection import diff


@click.command(name="diff")
@click.argument("one")
@click.argument("other")
@state_options(None)
@shape_option()
@set_option()
@format_option()
def command(
    one: str, other: str, state: dict[str, Any], shape: tuple[str, ...], set_: tuple[str, ...], style: str
) -> int:
    """Compare two nets by meaning: layers, parameters, connections and shapes.

    The exit status is 0 if they are equivalent, 1 if they differ.
    """
    shapes, values = parse_shapes(shape), parse_values(set_)
    nets = [read_input(name) if name == "-" else name for name in (one, other)]
    found = diff(*nets, shapes=shapes, values=values, **state)
    say(found.to_json() if style == "json" else str(found))
    return int(bool(found))
