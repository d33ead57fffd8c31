"""One call for a whole training run: what `netc train` and `netc.train` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netc.diagnostics import NetcError
from netc.training.device import choose_device
from netc.training.events import Listener, Note, nobody
from netc.training.settings import SolverSettings, read_settings
from netc.training.solver import Solver


def train(
    solver: str | Path | SolverSettings,
    *,
    weights: str | Path | Sequence[str | Path] = (),
    snapshot: str | Path | None = None,
    gpu: str | int | None = None,
    iterations: int | None = None,
    tell: Listener = nobody,
) -> Solver:
    """Train a net as its solver file says, from the start or from a snapshot; the solver, when it is done.

    `weights` are copied in by layer name before training; `snapshot` is a .solverstate to go on from. `gpu` is an index
    or `"all"`; without it the solver's `solver_mode` decides. `iterations` is how many updates to make in this run, in
    place of going on up to the solver's `max_iter`. `tell` is called with each event (`netc.training.events`). Raises
    NetcError.
    """
    settings = solver if isinstance(solver, SolverSettings) else read_settings(solver)
    if weights and snapshot:
        raise NetcError("a snapshot to go on from and weights to start from exclude each other", code="E608")
    if weights:
        files = [weights] if isinstance(weights, (str, Path)) else weights
        settings = settings.with_values(weights=tuple(map(str, files)))
    device = choose_device(settings, None if gpu is None else str(gpu), tell)
    with Solver(settings, device=device, tell=tell) as run:
        if snapshot is not None:
            tell(Note("caffe.cpp:228", f"Resuming from {snapshot}"))
            run.restore(str(snapshot))
        tell(Note("caffe.cpp:239", "Starting Optimization"))
        run.solve(iterations)
        tell(Note("caffe.cpp:250", "Optimization Done."))
    return run
