"""`netc train SOLVER`: Train a net."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from netc.cli.caffe2_training import caffe2_options, fine_tune_caffe2, fine_tuned_net, train_caffe2
from netc.cli.options import option
from netc.cli.python_layer_option import preparation, python_layers
from netc.cli.state_options import autocrop_option, train_state_options

if TYPE_CHECKING:
    from collections.abc import Callable

UNSET: tuple[object, ...] = (None, ())
"""Values of options that were not passed: the solver's file decides."""
EFFECTS = click.Choice(["snapshot", "stop", "snapshot-and-stop", "none"])


def netc_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that adds options for netc's own settings; they override `netc_param` of the solver."""
    flags = (
        option(
            "--rename",
            multiple=True,
            metavar="OLD=NEW",
            help="Copy the weights of layer OLD to layer NEW.",
        ),
        option(
            "--allow-mismatch",
            is_flag=True,
            default=None,
            help="Ignore weights with other shapes than the net's.",
        ),
        option("--freeze", multiple=True, metavar="PATTERN", help="Layers to freeze: 'conv*'; may be repeated."),
        option("--watch", metavar="OUTPUT", help="Keep the snapshot with the best value of a test output."),
        option("--better", type=click.Choice(["higher", "lower"]), help="Whether higher or lower values are better."),
        option("--patience", type=int, metavar="N", help="Stop after N tests without improvement."),
        option("--keep", type=int, metavar="N", help="Keep only the newest N snapshots."),
        option(
            "--ema-decay",
            type=float,
            metavar="D",
            help="Test a moving average of the weights, with decay D.",
        ),
        option(
            "--mix-up",
            type=float,
            metavar="ALPHA",
            help="Mix pairs of images, by Beta(ALPHA, ALPHA).",
        ),
        option("--amp", type=click.Choice(["bf16", "fp16"]), help="Train in mixed precision."),
        option("--precision", type=click.Choice(["ieee", "tf32", "bf16"]), help="Precision of float32 products."),
        option("--compile", is_flag=True, default=None, help="Compile the nets with torch.compile."),
        option("--channels-last", is_flag=True, default=None, help="Use the channels-last memory format."),
        option("--deterministic", is_flag=True, default=None, help="Use deterministic algorithms only."),
        option(
            "--sync-batch-norm",
            is_flag=True,
            default=None,
            help="Share BatchNorm statistics among processes.",
        ),
        option(
            "--policy-after-warmup",
            is_flag=True,
            default=None,
            help="Start lr_policy when the warm-up ends, without a jump of the rate.",
        ),
        option("--skip-bad", is_flag=True, default=None, help="Skip records that cannot be read; the log counts them."),
        autocrop_option(default=None),
    )
    for flag in reversed(flags):
        function = flag(function)
    return function


@click.command(name="train")
@click.argument("solver", required=False)
@option("--solver", "solver_option", metavar="FILE", help="The solver, as in Caffe.")
@option("--weights", metavar="FILE[,FILE]", help="Weights to start from, copied by layer name.")
@option(
    "--snapshot",
    metavar="FILE|auto",
    help="The .solverstate to resume from. auto: the newest complete one, or a start, from --weights if given.",
)
@option("--gpu", metavar="0|0,1|all", help="GPUs to train on; by default the solver's solver_mode decides.")
@option("--iterations", type=click.IntRange(1), help="Number of updates; by default train up to the solver's max_iter.")
@train_state_options()
@option("--sigint-effect", type=EFFECTS, default="stop", show_default=True, help="Effect of Ctrl-C (SIGINT).")
@option("--sighup-effect", type=EFFECTS, default="snapshot", show_default=True, help="Effect of SIGHUP.")
@option(
    "--sigterm-effect",
    type=EFFECTS,
    default="snapshot-and-stop",
    show_default=True,
    help="Effect of SIGTERM, which schedulers send.",
)
@option(
    "--debug",
    is_flag=True,
    default=None,
    help="Run layer by layer; stop at the first NaN or infinite value.",
)
@option("--overwrite", is_flag=True, default=None, help="Let layers that write files replace those of others.")
@option("--lenient", is_flag=True, help="Ignore unknown fields of the solver that may be misspelled.")
@python_layers
@option("--log-json", metavar="FILE", help="Path of a log with one JSON object per line.")
@option("--tensorboard", metavar="FOLDER", help="Folder for TensorBoard files.")
@netc_options
@caffe2_options
def command(
    solver: str | None,
    solver_option: str | None,
    weights: str | None,
    snapshot: str | None,
    state: dict[str, Any],
    lenient: bool,
    allow_python_layers: bool,
    log_json: str | None,
    tensorboard: str | None,
    init: str | None,
    inputs: str | None,
    output: str | None,
    display: int | None,
    **options: Any,
) -> int:
    """Train a net as described by its solver: from the start, from weights, or from a snapshot.

    In place of a solver, a Caffe2 plan or training net trains itself; the trained blobs are written as an init net. A
    Caffe2 net with `--solver` and `--init` is fine-tuned. The log is written to standard error, in Caffe's format.
    """
    own = {"init": init, "inputs": inputs, "output": output, "display": display}
    if solver and not solver_option and train_caffe2(solver, own, options["iterations"], (log_json, tensorboard)):
        return 0
    net, solver = fine_tuned_net(solver, solver_option)
    if bool(solver) == bool(solver_option):
        raise click.UsageError("expected one solver: SOLVER or `--solver=SOLVER`")
    if weights and snapshot and snapshot != "auto":
        raise click.UsageError("`--snapshot` and `--weights` exclude each other")
    from netc.cli.training_listeners import training_listener
    from netc.training.distributed.launcher import launch, process_count
    from netc.training.run import train
    from netc.training.solver.settings import read_settings

    settings = read_settings(solver or solver_option or "", lenient=lenient)
    settings = settings.with_state(**state)
    if (processes := process_count(options["gpu"])) > 1:
        return launch(click.get_current_context().obj.arguments, processes)
    with training_listener(log_json, tensorboard) as listener:
        run = train if net is None else partial(fine_tune_caffe2, net, own)
        run(
            settings,
            weights=weights.split(",") if weights else (),
            snapshot=snapshot,
            listener=listener,
            prepare=preparation(allow_python_layers),
            **{name: value for name, value in options.items() if value not in UNSET},
        )
    return 0
