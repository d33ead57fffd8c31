"""`netc explain WORD`: Explain an error code or a layer type."""

from __future__ import annotations

import click

from netc.cli.options import option
from netc.cli.terminal import say
from netc.inspection import explain
from netc.inspection.error_pages import codes
from netc.inspection.layer_pages import layer_types
from netc.inspection.operator_pages import operator_list


@click.command(name="explain")
@click.argument("word", required=False)
@option("--list", "listed", is_flag=True, help="List all codes, layer types and operators.")
def command(word: str | None, listed: bool) -> None:
    """Explain an error or warning code, or a layer type and its parameters.

    WORD is a code (E010), or the name of a layer type (Pooling) or an operator of Caffe2 (MaxPool).
    """
    if word is None and not listed:
        raise click.UsageError("expected a code or a layer type, or --list")
    if listed:
        say("\n".join([*(f"{name}  {heading}" for name, heading in codes().items()), *layer_types(), *operator_list()]))
    else:
        say(explain(word or ""), nl=False)
