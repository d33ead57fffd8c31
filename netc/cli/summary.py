"""`netc summary NET`: Print shapes, parameters, multiply-adds and memory."""

from __future__ import annotations

from typing import Any

import click

from netc.cli.options import (
    format_option,
    option,
    parse_shapes,
    parse_values,
    set_option,
    shape_option,
    weights_option,
)
from netc.cli.state_options import state_options
from netc.cli.streams import read_input
from netc.cli.terminal import say
from netc.inspection import summary

FORMATS = {"text": "__str__", "json": "to_json", "csv": "to_csv", "markdown": "to_markdown"}


@click.command(name="summary")
@click.argument("net")
@weights_option(help="Weights, or the init net, of a Caffe2 net, for the shapes of its blobs; may be repeated.")
@state_options()
@shape_option()
@option("--batch", type=click.IntRange(min=1), help="Batch size; by default the one in the file.")
@set_option()
@format_option(*FORMATS)
def command(
    net: str,
    weights: tuple[str, ...],
    state: dict[str, Any],
    shape: tuple[str, ...],
    batch: int | None,
    set_: tuple[str, ...],
    style: str,
) -> None:
    """Print the layers of a net with shapes, receptive fields, parameters, multiply-adds and memory, and totals.

    NET is a prototxt, a .caffemodel or a Caffe2 net; `-` is standard input.
    """
    found = summary(
        read_input(net) if net == "-" else net,
        weights=weights,
        shapes=parse_shapes(shape),
        batch=batch,
        values=parse_values(set_),
        **state,
    )
    say(getattr(found, FORMATS[style])())
