"""Options that `netc test` and `netc time` share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netc.cli.options import level_option, option, split_names, stage_option
from netc.cli.python_layer_option import preparation, python_layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.training.log.events import Listener
    from netc.training.solver.runnable_net import RunnableNet

STAGES = "Stage of the net's state; may be repeated or contain commas."
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
    level_option(),
    stage_option(STAGES),
    python_layers,
)


@dataclass(frozen=True)
class NetOptions:
    """The values of the options."""

    net: str
    """A path."""
    weights: list[str]
    iterations: int
    gpu: str | None
    level: int
    stages: list[str]
    allow_python_layers: bool

    def open(self, phase: str, listener: Listener, skip_bad: bool = False) -> RunnableNet:
        """Open the net in a phase, with its weights and data. Raises NetcError."""
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
    """Decorator that adds these options; the command is called with a NetOptions and its own options."""

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
            raise click.UsageError("expected one net: NET or `--model=NET`")
        files = weights.split(",") if weights else []
        path = net or model or ""
        return function(NetOptions(path, files, iterations, gpu, level, split_names(stage), allow_python_layers), **own)

    for add in reversed(_OPTIONS):
        call = add(call)
    return call
