"""`netc train` for Caffe2's plans and nets: its options, and how it runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from netc.cli.options import option

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.training.solver.settings import SolverSettings

OWN = ("init", "inputs", "output", "display")
"""The options for Caffe2's files only."""
SHARED = ("solver", "iterations", "log_json", "tensorboard")
"""Other options that they accept."""


def caffe2_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that adds the options for Caffe2's plans and training nets."""
    flags = (
        option("--init", metavar="FILE", help="Caffe2: the init net, with the weights to start from."),
        option(
            "--inputs",
            metavar="FILE.npz",
            help="Caffe2: an array for each input of a training net; its first axis counts the iterations.",
        ),
        option("--output", metavar="FILE", help="Caffe2: the init net to write, with the trained blobs."),
        option("--display", type=click.IntRange(1), metavar="N", help="Caffe2: log the loss every N iterations."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


def train_caffe2(path: str, own: dict[str, Any], iterations: int | None, logs: tuple[str | None, str | None]) -> bool:
    """Run a Caffe2 plan or training net; return whether the file is one.

    `own` are the values of the options in `OWN`, `logs` those of `--log-json` and `--tensorboard`. Raises NetcError,
    and UsageError for options that do not apply.
    """
    from netc.cli.training_listeners import training_listener
    from netc.training.caffe2.run import DISPLAY, recognize_net, recognize_plan, run_plan, run_training_net

    display, plan = own["display"] or DISPLAY, recognize_plan(path)
    if plan is not None:
        options = ("solver", "log_json", "tensorboard", "output", "display")
        _refuse_options(allowed=options, why=f"the plan `{path}` says what runs, and how often")
        with training_listener(*logs) as listener:
            run_plan(plan, output=own["output"], display=display, listener=listener)
        return True
    if not recognize_net(path):
        return False
    _refuse_options(allowed=(*SHARED, *OWN), why=f"`{path}` is a Caffe2 net, which has no solver")
    with training_listener(*logs) as listener:
        run_training_net(path, iterations=iterations, listener=listener, **{**own, "display": display})
    return True


def fine_tuned_net(argument: str | None, solver_option: str | None) -> tuple[str | None, str | None]:
    """The Caffe2 net to fine-tune and the solver, of the command's argument and `--solver`; None for what is missing.

    Raises UsageError for options of `OWN` that do not apply.
    """
    from netc.training.caffe2.run import recognize_net

    if argument and solver_option and recognize_net(argument):
        _refuse_options(refused=("inputs", "display"), why="the solver's net has the data layers")
        return argument, None
    _refuse_options(refused=OWN, why="it is for Caffe2's plans and nets, got a solver")
    return None, argument


def fine_tune_caffe2(net: str, own: dict[str, Any], solver: SolverSettings, **options: Any) -> None:
    """Fine-tune a Caffe2 net. Raises UsageError without `--init`."""
    from netc.training.caffe2.fine_tuning import fine_tune

    if own["init"] is None:
        raise click.UsageError("`--init FILE` is required: the init net with the weights")
    more = options.pop("weights")
    if more:
        raise click.UsageError("`--init` and `--weights` exclude each other")
    fine_tune(net, solver, own["init"], output=own["output"], **options)


def _refuse_options(why: str, allowed: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and (name in refused or (allowed and name not in allowed)):
            raise click.UsageError(f"`{parameter.opts[0]}` does not apply: {why}")
