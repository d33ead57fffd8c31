"""`netc upgrade IN OUT`: Upgrade a net or solver to the current format."""

from __future__ import annotations

from dataclasses import replace

import click

from netc.cli.options import option, parse_values, set_option
from netc.cli.streams import read_input, write_output
from netc.cli.terminal import show
from netc.rewriting import upgraded


@click.command(name="upgrade")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@set_option()
@option("--autocrop", is_flag=True, help="Write the offsets of Crop layers that have no parameters, see W120.")
def command(source: str, target: str, set_: tuple[str, ...], autocrop: bool) -> None:
    """Upgrade a net or solver to the format of Caffe 1.0; comments and layout are kept.

    `-` is standard input or output, and IN and OUT may be the same file. Changes are reported on standard error; a file
    in the current format is copied.
    """
    values = parse_values(set_)
    text, report = upgraded(read_input(source), values, autocrop)
    write_output(target, text)
    show([replace(found, help=None) for found in report.diagnostics])
