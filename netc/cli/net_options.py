"""The options that `netc test` and `netc time` share: a net, weights, how often, where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import click

from netc.cli.output import option
from netc.cli.python_layers import python_layers

_OPTIONS = (
    click.argument("net", required=False),
    option("--model", metavar="FILE", help="The net, in Caffe's spelling."),
    option("--weights", metavar="FILE[,FILE]", help="Weights, copied by layer name; what they lack the fillers give."),
    option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="How many batches to run."),
    option("--gpu", metavar="N", help="The GPU to run on; without it the CPU does."),
    option("--level", default=0, help="Level of the net's state."),
    option("--stage", multiple=True, help="A stage of the net's state; may be repeated, or hold commas."),
    python_layers,
)


def net_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options. It is called with `net` (a path), `weights` and `stages` (lists), and the rest."""

    @wraps(function)
    def call(net: str | None, model: str | None, weights: str | None, stage: tuple[str, ...], **rest: Any) -> Any:
        if bool(net) == bool(model):
            raise click.UsageError("give one net: its path, or `--model=NET`")
        return function(net=net or model, weights=weights.split(",") if weights else [], stages=parts(stage), **rest)

    for add in reversed(_OPTIONS):
        call = add(call)
    return call


def parts(values: Iterable[str]) -> list[str]:
    """The names in options that may be repeated or hold commas.

    >>> parts(["a,b", "c"])
    ['a', 'b', 'c']
    """
    return [name for value in values for name in value.split(",")]
