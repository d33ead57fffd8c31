"""One call for a whole training run: what `netc train` and `netc.train` do."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netc.diagnostics import NetcError
from netc.training.device import choose_device
from netc.training.distributed.process_rank import place_of_environment
from netc.training.distributed.torch_world import joined
from netc.training.log.events import Listener, LogNote, ignore
from netc.training.numerics import numerics
from netc.training.solver.loop import Solver
from netc.training.solver.settings import SolverSettings, read_settings
from netc.training.solver.signals import Request, no_request, requests_of_signals
from netc.training.solver.solver_net import PLAIN, Extension

AUTO = "auto"
"""In place of a snapshot's path: the newest whole one of the solver's prefix, or a fresh start."""


def train(
    solver: str | Path | SolverSettings,
    *,
    weights: str | Path | Sequence[str | Path] = (),
    snapshot: str | Path | None = None,
    gpu: str | int | None = None,
    iterations: int | None = None,
    tell: Listener = ignore,
    extension: Extension = PLAIN,
    debug: bool = False,
    sigint_effect: str | None = None,
    sighup_effect: str | None = None,
    **options: Any,
) -> Solver:
    """Train a net as its solver file says, from the start or from a snapshot; the solver, when it is done.

    `weights` are copied in by layer name before training; `snapshot` is a .solverstate to go on from, or `"auto"`: the
    newest whole one of the solver's prefix, and a start from `weights` where there is none. `gpu` is an index, or one
    for each process that torchrun started, or `"all"`; without it the solver's `solver_mode` decides. `iterations` is
    how many updates to make in this run, in place of going on up to the solver's `max_iter`. `tell` is called with each
    event (`netc.training.log.events`). `debug` checks every value for NaN. Effects of signals are `"stop"`,
    `"snapshot"` and `"none"`; without them signals keep their handlers. `options` are settings of netc's own
    (`netc.training.solver.netc_param`): `ema_decay=0.999`. Processes that torchrun started train together, and only
    rank 0 reports and writes. Raises NetcError.
    """
    settings = solver if isinstance(solver, SolverSettings) else read_settings(solver)
    settings = settings.with_options(**options) if options else settings
    if weights and snapshot and snapshot != AUTO:
        raise NetcError("a snapshot to go on from and weights to start from exclude each other", code="E608")
    if weights:
        files = [weights] if isinstance(weights, (str, Path)) else weights
        settings = settings.with_values(weights=list(map(str, files)))
    place = place_of_environment()
    tell = ignore if place.rank else tell
    device = choose_device(settings, None if gpu is None else str(gpu), tell, place)
    with contextlib.ExitStack() as stack:
        stack.enter_context(numerics(settings.options, tell))
        team = stack.enter_context(joined(place, device))
        made = Solver(settings, device=device, tell=tell, extension=extension, team=team, debug=debug)
        run = stack.enter_context(made)
        run.requested = no_request
        if sigint_effect or sighup_effect:
            effects = (Request(sigint_effect or "none"), Request(sighup_effect or "none"))
            run.requested = stack.enter_context(requests_of_signals(*effects))
        if snapshot is not None:
            _resume(run, str(snapshot), tell)
        tell(LogNote("caffe.cpp:239", "Starting Optimization"))
        run.solve(iterations)
        tell(LogNote("caffe.cpp:250", "Optimization Done."))
    return run


def _resume(run: Solver, snapshot: str, tell: Listener) -> None:
    if snapshot != AUTO:
        tell(LogNote("caffe.cpp:228", f"Resuming from {snapshot}"))
        run.restore(snapshot)
    elif run.checkpoints.restore_newest() is None:
        tell(LogNote("netc:1", f"No snapshot of {run.settings.prefix} to go on from: starting afresh"))
