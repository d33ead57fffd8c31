"""`netc upgrade IN OUT`: an old net or solver in today's format."""

from __future__ import annotations

from dataclasses import replace

import click

from netc.cli.output import show
from netc.cli.streams import parse_values, read_input, set_option, write_output
from netc.rewriting import upgraded


@click.command(name="upgrade")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@set_option()
def command(source: str, target: str, set_: tuple[str, ...]) -> None:
    """Write a net or a solver in the format of Caffe 1.0, its comments and layout kept.

    `-` is standard input or output, IN and OUT may be the same file. What was changed is told on standard error; a file
    in today's format is copied.
    """
    values = parse_values(set_)
    text, report = upgraded(read_input(source), values)
    write_output(target, text)
    show([replace(found, help=None) for found in report.diagnostics])
