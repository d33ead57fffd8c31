"""`netc train SOLVER`: train a net as its solver says, with Caffe's log lines on stderr."""

from __future__ import annotations

import click

from netc.cli.output import option


@click.command(name="train")
@click.argument("solver", required=False)
@option("--solver", "solver_option", metavar="FILE", help="The solver, in Caffe's spelling.")
@option("--weights", metavar="FILE[,FILE]", help="Weights to start from, copied by layer name.")
@option("--snapshot", metavar="FILE", help="A .solverstate to go on from.")
@option("--gpu", metavar="0|all", help="The GPU to train on; without it the solver's mode decides.")
@option("--iterations", type=click.IntRange(1), help="Make so many updates, in place of the solver's max_iter.")
@option("--level", default=0, help="Level of the train net's state.")
@option("--stage", multiple=True, help="A stage of the train net's state; may be repeated, or hold commas.")
def command(
    solver: str | None,
    solver_option: str | None,
    weights: str | None,
    snapshot: str | None,
    gpu: str | None,
    iterations: int | None,
    level: int,
    stage: tuple[str, ...],
) -> None:
    """Train a net as its solver says, from the start, from weights, or from a snapshot."""
    if bool(solver) == bool(solver_option):
        raise click.UsageError("give one solver: `netc train SOLVER` or `--solver=SOLVER`")
    if weights and snapshot:
        raise click.UsageError("give a snapshot to resume from or weights to fine-tune from, not both")
    from netc.cli.progress import listeners
    from netc.training.run import train
    from netc.training.settings import read_settings

    settings = read_settings(solver or solver_option or "")
    settings = settings.with_state(level, tuple(name for value in stage for name in value.split(",")))
    with listeners() as tell:
        train(
            settings,
            weights=weights.split(",") if weights else (),
            snapshot=snapshot,
            gpu=gpu,
            iterations=iterations,
            tell=tell,
        )
