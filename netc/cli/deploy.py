"""`netc deploy NET [OUT]`: Write the net for deployment of a training net."""

from __future__ import annotations

from typing import Any

import click

from netc.cli.options import option, parse_shapes, parse_values, set_option, shape_option
from netc.cli.state_options import state_options
from netc.cli.streams import read_input, write_output


@click.command(name="deploy")
@click.argument("net")
@click.argument("out", required=False)
@option("--output", metavar="OUT", help="The same as OUT.")
@option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Batch size of the inputs.")
@option("--dialect", metavar="NAME", help="Fork of Caffe that NET is for, and that OUT is written for.")
@state_options()
@shape_option()
@set_option()
def command(
    net: str,
    out: str | None,
    output: str | None,
    batch: int,
    dialect: str | None,
    state: dict[str, Any],
    shape: tuple[str, ...],
    set_: tuple[str, ...],
) -> None:
    """Write the net for deployment (deploy.prototxt) of a training net (train_val.prototxt).

    Data layers become inputs, losses the scores that they compute, and accuracies and labels are left out. Layers keep
    their names, so that trained weights fit. By default OUT is standard output; `-` is standard input or output.
    """
    targets = [name for name in (out, output) if name is not None] or ["-"]
    if len(targets) > 1:
        raise click.UsageError("expected one output: OUT or `--output=OUT`")
    shapes, values = parse_shapes(shape), parse_values(set_)
    from netc.conversion.deploy import deploy

    source = read_input(net)
    write_output(targets[0], deploy(source, batch=batch, shapes=shapes, values=values, dialect=dialect, **state))
