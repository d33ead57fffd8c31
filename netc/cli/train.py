"""`netc train SOLVER`: train a net as its solver says, with Caffe's log lines on stderr."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from netc.cli.output import option
from netc.cli.python_layer_option import preparation, python_layers

UNSET: tuple[object, ...] = (None, ())
"""Values of options that were not given: what the solver's file says holds."""
EFFECTS = click.Choice(["snapshot", "stop", "none"])


def own_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Flags for the settings of netc's own (`netc_param` of a solver), which they overrule."""
    flags = (
        option("--rename", multiple=True, metavar="OLD=NEW", help="Layer OLD of the weights is the net's layer NEW."),
        option("--allow-mismatch", is_flag=True, default=None, help="Layers that do not fit the weights start afresh."),
        option("--freeze", multiple=True, metavar="PATTERN", help="Layers that do not learn: 'conv*'."),
        option("--watch", metavar="OUTPUT", help="A test output: keep the snapshot with its best value."),
        option("--better", type=click.Choice(["higher", "lower"]), help="Which values of it are better."),
        option("--patience", type=int, metavar="N", help="Stop after N tests without a better one."),
        option("--keep", type=int, metavar="N", help="Keep the newest N snapshots."),
        option("--ema-decay", type=float, metavar="D", help="Average the weights, and test the average."),
        option("--mix-up", type=float, metavar="ALPHA", help="Mix pairs of images, and their losses."),
        option("--amp", type=click.Choice(["bf16", "fp16"]), help="Mixed precision."),
        option("--precision", type=click.Choice(["ieee", "tf32", "bf16"]), help="Of float32 products."),
        option("--compile", is_flag=True, default=None, help="Compile the nets with torch.compile."),
        option("--channels-last", is_flag=True, default=None, help="Lay pictures out channels last."),
        option("--deterministic", is_flag=True, default=None, help="Give the same bits each time."),
        option("--sync-batch-norm", is_flag=True, default=None, help="BatchNorm over the batches of all processes."),
        option("--skip-bad", is_flag=True, default=None, help="Pass over bad records; the log counts them."),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


@click.command(name="train")
@click.argument("solver", required=False)
@option("--solver", "solver_option", metavar="FILE", help="The solver, in Caffe's spelling.")
@option("--weights", metavar="FILE[,FILE]", help="Weights to start from, copied by layer name.")
@option("--snapshot", metavar="FILE|auto", help="A .solverstate to go on from; auto is the newest whole one, if any.")
@option("--gpu", metavar="0|0,1|all", help="The GPUs to train on; without it the solver's mode decides.")
@option("--iterations", type=click.IntRange(1), help="Make so many updates, in place of the solver's max_iter.")
@option("--level", default=0, help="Level of the train net's state.")
@option("--stage", multiple=True, help="A stage of the train net's state; may be repeated, or hold commas.")
@option("--sigint-effect", type=EFFECTS, default="stop", show_default=True, help="What Ctrl-C does.")
@option("--sighup-effect", type=EFFECTS, default="snapshot", show_default=True, help="What a hangup does.")
@option("--debug", is_flag=True, default=None, help="Run node by node, up to the first value that is NaN or infinite.")
@python_layers
@option("--log-json", metavar="FILE", help="Write each iteration's numbers to a file, a JSON object a line.")
@option("--tensorboard", metavar="FOLDER", help="Write TensorBoard's files.")
@own_options
def command(
    solver: str | None,
    solver_option: str | None,
    weights: str | None,
    snapshot: str | None,
    level: int,
    stage: tuple[str, ...],
    allow_python_layers: bool,
    log_json: str | None,
    tensorboard: str | None,
    **given: Any,
) -> int:
    """Train a net as its solver says, from the start, from weights, or from a snapshot."""
    if bool(solver) == bool(solver_option):
        raise click.UsageError("give one solver: `netc train SOLVER` or `--solver=SOLVER`")
    if weights and snapshot and snapshot != "auto":
        raise click.UsageError("give a snapshot to resume from or weights to fine-tune from, not both")
    from netc.cli.training_listeners import training_listener
    from netc.training.distributed.launcher import launch, processes_for
    from netc.training.run import train
    from netc.training.solver.settings import read_settings

    settings = read_settings(solver or solver_option or "")
    settings = settings.with_state(level, tuple(name for value in stage for name in value.split(",")))
    if (processes := processes_for(given["gpu"])) > 1:
        return launch(click.get_current_context().obj, processes)
    with training_listener(log_json, tensorboard) as listener:
        train(
            settings,
            weights=weights.split(",") if weights else (),
            snapshot=snapshot,
            listener=listener,
            prepare=preparation(allow_python_layers),
            **{name: value for name, value in given.items() if value not in UNSET},
        )
    return 0
