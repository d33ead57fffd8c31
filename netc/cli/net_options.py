"""The options that `netc test` and `netc time` share: a net, weights, how often, where."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netc.cli.output import option
from netc.cli.python_layer_option import preparation, python_layers

if TYPE_CHECKING:
    from netc.training.log.events import Listener
    from netc.training.solver.runnable_net import RunnableNet

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


@dataclass(frozen=True)
class NetArguments:
    """What these options say."""

    net: str
    """A path."""
    weights: list[str]
    iterations: int
    gpu: str | None
    level: int
    stages: list[str]
    allow_python_layers: bool

    def open(self, phase: str, listener: Listener, skip_bad: bool = False) -> RunnableNet:
        """The net in a phase, with its weights and data. Raises NetcError."""
        from netc.compiler import phase_of
        from netc.training.evaluation import open_net

        return open_net(
            self.net,
            phase_of(phase),
            weights=self.weights,
            gpu=self.gpu,
            level=self.level,
            stages=self.stages,
            skip_bad=skip_bad,
            prepare=preparation(self.allow_python_layers),
            listener=listener,
        )


def net_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options. It is called with what they say, `asked`, and the values of its own options."""

    @wraps(function)
    def call(
        net: str | None,
        model: str | None,
        weights: str | None,
        iterations: int,
        gpu: str | None,
        level: int,
        stage: tuple[str, ...],
        allow_python_layers: bool,
        **own: Any,
    ) -> Any:
        if bool(net) == bool(model):
            raise click.UsageError("give one net: its path, or `--model=NET`")
        files = weights.split(",") if weights else []
        path = net or model or ""
        return function(NetArguments(path, files, iterations, gpu, level, parts(stage), allow_python_layers), **own)

    for add in reversed(_OPTIONS):
        call = add(call)
    return call


def parts(values: Iterable[str]) -> list[str]:
    """The names in options that may be repeated or hold commas.

    >>> parts(["a,b", "c"])
    ['a', 'b', 'c']
    """
    return [name for value in values for name in value.split(",")]
