"""Options that `netc test` and `netc time` share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import option
from netc.cli.python_layer_option import preparation, python_layers
from netc.cli.state_options import state_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.training.log.events import Listener
    from netc.training.solver.runnable_net import RunnableNet

_OPTIONS = (
    click.argument("net", required=False),
    option("--model", metavar="FILE", help="The net, as in Caffe."),
    option(
        "--weights",
        metavar="FILE[,FILE]",
        help="Weights, copied by layer name; other layers are filled.",
    ),
    option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="Number of batches to run."),
    option("--gpu", metavar="N", help="Index of the GPU to run on; by default the CPU is used."),
)


@dataclass(frozen=True)
class NetOptions:
    """The values of the options."""

    net: str
    """A path."""
    weights: list[str]
    iterations: int
    gpu: str | None
    state: dict[str, Any]
    """The arguments of `compiler.state_choice`."""
    allow_python_layers: bool

    def open(self, listener: Listener, **settings: Any) -> RunnableNet:
        """Open the net, with its weights and data; `settings` are those of `evaluation.open_net`. Raises NetcError."""
        from netc.compiler import state_choice
        from netc.training.evaluation import open_net

        return open_net(
            self.net,
            state_choice(**self.state),
            weights=self.weights,
            gpu=self.gpu,
            prepare=preparation(self.allow_python_layers),
            listener=listener,
            **settings,
        )


def net_options(phase: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that adds these options, with a default for `--phase`.

    The command is called with a NetOptions and its own options.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(
            net: str | None,
            model: str | None,
            weights: str | None,
            iterations: int,
            gpu: str | None,
            state: dict[str, Any],
            allow_python_layers: bool,
            **own: Any,
        ) -> Any:
            if bool(net) == bool(model):
                raise click.UsageError("expected one net: NET or `--model=NET`")
            files = weights.split(",") if weights else []
            options = NetOptions(net or model or "", files, iterations, gpu, state, allow_python_layers)
            return function(options, **own)

        for add in (python_layers, state_options(phase), *reversed(_OPTIONS)):
            call = add(call)
        return call

    return decorate
