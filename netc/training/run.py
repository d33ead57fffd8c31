"""One call for a whole training run: the implementation of `netc train` and `netc.train`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.compiler import Prepare, unprepared
from netc.diagnostics import NetcError
from netc.host_memory import memory_errors
from netc.training.device import choose_device
from netc.training.distributed.process_rank import rank_from_environment
from netc.training.distributed.torch_world import join_world
from netc.training.log.events import Listener, LogNote, ignore
from netc.training.numerics import numerics
from netc.training.snapshots.run_identity import Run, announced
from netc.training.solver.settings import SolverSettings, read_settings
from netc.training.solver.signals import Request, Requests, requests_of_signals
from netc.training.solver.solver import Solver

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTO = "auto"
"""In place of a snapshot's path: the newest complete snapshot of the prefix's latest run, or a new run without one."""


def train(
    solver: str | Path | SolverSettings,
    *,
    weights: str | Path | Sequence[str | Path] = (),
    snapshot: str | Path | None = None,
    gpu: str | int | None = None,
    iterations: int | None = None,
    listener: Listener = ignore,
    prepare: Prepare = unprepared,
    debug: bool = False,
    overwrite: bool = False,
    lenient: bool = False,
    sigint_effect: str | None = None,
    sighup_effect: str | None = None,
    sigterm_effect: str | None = None,
    **options: Any,
) -> Solver:
    """Train a net as described by its solver file, from the start or from a snapshot; return the solver.

    `weights` are files copied in by layer name before training. `snapshot` is the .solverstate to resume from, or
    `"auto"`: the newest complete snapshot of the latest run with the solver's prefix, or a start from `weights` if
    there is none. `gpu` is an index, one index for each process that torchrun started, or `"all"`; by default the
    solver's `solver_mode` decides. `iterations` is the number of updates of this run; by default it ends at the
    solver's `max_iter`. `listener` is called with each event (`netc.training.log.events`). `debug` checks every value
    for NaN. With `overwrite`, layers like HDF5Output replace files that netc did not write. `lenient` ignores fields of
    the solver's file that may be misspelled (`weigth_decay`).

    `sigint_effect`, `sighup_effect` and `sigterm_effect` are `"stop"`, `"snapshot"`, `"snapshot-and-stop"` or
    `"none"`; by default handlers are unchanged. `"stop"` writes a snapshot unless `snapshot_after_train` is false.
    `options` are netc's own settings (`netc.training.solver.netc_options`): `ema_decay=0.999`. Processes started
    by torchrun train together, and only rank 0 logs and writes files. Raises NetcError.
    """
    settings = solver if isinstance(solver, SolverSettings) else read_settings(solver, lenient=lenient)
    settings = _modified(settings, weights, options)
    if weights and snapshot and snapshot != AUTO:
        raise NetcError("a snapshot to resume from and weights to start from exclude each other", code="E608")
    rank = rank_from_environment()
    listener = ignore if rank.rank else listener
    device = choose_device(settings, None if gpu is None else str(gpu), listener, rank)
    with memory_errors(), contextlib.ExitStack() as stack:
        stack.enter_context(numerics(settings.options, listener))
        world = stack.enter_context(join_world(rank, device))
        identity = Run()
        with _announced(settings, identity, new=snapshot is None and world.is_main):
            prepared = Solver(
                settings,
                device=device,
                listener=listener,
                prepare=prepare,
                world=world,
                debug=debug,
                overwrite=overwrite,
            )
        run = stack.enter_context(prepared)
        run.checkpoints.run = identity
        if sigint_effect or sighup_effect or sigterm_effect:
            run.state.requested = stack.enter_context(_requests(sigint_effect, sighup_effect, sigterm_effect))
        if snapshot is not None:
            _resume(run, str(snapshot), listener)
        listener(LogNote("caffe.cpp:239", "Starting Optimization"))
        run.solve(iterations)
        listener(LogNote("caffe.cpp:250", "Optimization Done."))
    return run


def _modified(
    settings: SolverSettings, weights: str | Path | Sequence[str | Path], options: dict[str, Any]
) -> SolverSettings:
    """The settings with those that the arguments of `train` override."""
    settings = settings.with_options(**options) if options else settings
    files = [weights] if isinstance(weights, (str, Path)) else weights
    return settings.with_values(weights=list(map(str, files))) if weights else settings


def _requests(
    sigint: str | None, sighup: str | None, sigterm: str | None
) -> contextlib.AbstractContextManager[Requests]:
    """Handle signals with these effects; SIGTERM keeps its handler unless it has one."""
    effects = Request(sigint or "none"), Request(sighup or "none"), Request(sigterm) if sigterm else None
    return requests_of_signals(*effects)


def _announced(settings: SolverSettings, identity: Run, new: bool) -> contextlib.AbstractContextManager[None]:
    """While a new run prepares, name it as the latest, so that `auto` does not take it for an older one."""
    return announced(settings.prefix, identity) if new and settings.writes_snapshots else contextlib.nullcontext()


def _resume(run: Solver, snapshot: str, listener: Listener) -> None:
    if snapshot != AUTO:
        listener(LogNote("caffe.cpp:228", f"Resuming from {snapshot}"))
        run.restore(snapshot)
    elif run.checkpoints.restore_newest() is None:
        listener(LogNote("netc:1", f"No snapshot of {run.settings.prefix} to resume from: starting a new run"))
