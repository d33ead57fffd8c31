"""A solver's snapshots: written, found again, and cleared away.

PREFIX_iter_N.caffemodel, .netc.json, .solverstate     one snapshot (netc.training.snapshots.snapshot_files)
PREFIX_iter_N.ema.caffemodel                           its averaged weights, with `ema_decay`
PREFIX_best.*                                          the snapshot with the best `watch`
"""

from __future__ import annotations

import contextlib
import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.training.log.events import RestoreStarted, SnapshotStarted, WarningIssued
from netc.training.recipes.fine_tuning import start_from
from netc.training.snapshots import sidecar
from netc.training.snapshots import snapshot_files as snapshot
from netc.training.snapshots.snapshot_files import SnapshotPaths

if TYPE_CHECKING:
    from netc.training.solver.loop import Solver

ENDINGS = (".solverstate", ".solverstate.h5")
UNUSABLE = ("E401", "E402", "E403", "E404", "E405", "E406", "E702", "E705")
"""Codes of snapshots that are not whole: an older one will do."""


class Checkpoints:
    """Writes and restores the snapshots of one solver. Only rank 0 of a team writes."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver

    # ------------------------------------------------------------------ writing

    def write(self) -> str:
        """Write a snapshot, and clear old ones away; the path of its solver state. Raises NetcError E406 to E409."""
        settings = self.solver.settings
        paths = SnapshotPaths.of(settings.prefix, self.solver.iteration, settings.snapshot_format)
        self._write(paths)
        if settings.options.keep and self.solver.team.leads:
            self._clear(settings.options.keep)
        return paths.state

    def write_best(self) -> None:
        """Write the snapshot PREFIX_best in place of the one before it. Raises NetcError E406 to E409."""
        settings = self.solver.settings
        paths = SnapshotPaths.named(f"{settings.prefix}_best", settings.snapshot_format)
        if self.solver.team.leads:
            Path(paths.state).unlink(missing_ok=True)  # it must not go with other weights, whatever happens now
        self._write(paths)

    def _write(self, paths: SnapshotPaths) -> None:
        solver, iteration = self.solver, self.solver.iteration
        content = self.sidecar()
        if not solver.team.leads:
            return
        solver.tell(SnapshotStarted(iteration, paths.model, "model", paths.hdf5))
        graph, diff = solver.train_net.graph, solver.settings.snapshot_diff
        snapshot.write_model(paths.model, solver.net, graph, paths.hdf5, diff)
        if solver.average:
            solver.tell(SnapshotStarted(iteration, paths.average, "average", paths.hdf5))
            with solver.average.applied():
                snapshot.write_model(paths.average, solver.net, graph, paths.hdf5)
        sidecar.write_sidecar(sidecar.sidecar_path(paths.state), content)
        solver.tell(SnapshotStarted(iteration, paths.state, "state", paths.hdf5))
        step = solver.schedule.current_step
        snapshot.write_state(paths.state, solver.optimizer, paths.model, step, paths.hdf5)

    def _clear(self, keep: int) -> None:
        """Remove all but the newest snapshots. Those of later iterations are another run's, and stay."""
        mine = [found for found in self.found() if found[0] <= self.solver.iteration]
        for _, state in mine[keep:]:
            stem = str(sidecar.sidecar_path(state)).removesuffix(".netc.json")
            for name in (state, *glob.glob(f"{glob.escape(stem)}.*")):  # the commit mark goes first
                with contextlib.suppress(FileNotFoundError):
                    Path(name).unlink()

    def sidecar(self) -> dict[str, Any]:
        """What a snapshot needs beyond Caffe's two files; plain JSON. All of a team call it together."""
        solver = self.solver
        train, *tests = [
            {key: feed.state() for key, feed in part.feeds.items()} for part in (solver.train_net, *solver.tests)
        ]
        return {
            "iteration": solver.iteration,
            "model": snapshot.model_checksum(solver.net),
            "loss": solver.loss.state(),
            "random": solver.team.gather(sidecar.random_state()),
            "train": train,
            "test": tests,
            "world_size": solver.team.world_size,
            "schedule": solver.schedule.state(),
            "watch": solver.watch and solver.watch.state(),
            "ema": solver.average and solver.average.updates,
            "loss_scale": solver.loss_scale and solver.loss_scale.state(),
        }

    # ------------------------------------------------------------------ reading

    def found(self) -> list[tuple[int, str]]:
        """The solver states of the prefix with their iterations, newest first."""
        prefix = self.solver.settings.prefix
        pattern = re.compile(re.escape(prefix) + r"_iter_(\d+)(\.solverstate(?:\.h5)?)")
        names = [name for ending in ENDINGS for name in glob.glob(f"{glob.escape(prefix)}_iter_*{ending}")]
        matches = [match for match in map(pattern.fullmatch, names) if match]
        return sorted(((int(match[1]), match[0]) for match in matches), reverse=True)

    def restore_newest(self) -> str | None:
        """Go on from the newest snapshot of the prefix that is whole, and give its path; None where there is none.

        Raises NetcError E703 for one of another net or solver.
        """
        for _, path in self.found():
            try:
                snapshot.check_whole(path, self.solver.net, self.solver.optimizer)
            except NetcError as error:
                if error.diagnostics[0].code not in UNUSABLE:
                    raise
                self.solver.tell(WarningIssued(f"`{path}` is passed over: {error.diagnostics[0].message}"))
                continue
            self.restore(path)
            return path
        return None

    def restore(self, path: str) -> None:
        """See Solver.restore."""
        solver = self.solver
        solver.tell(RestoreStarted(path))
        restored = snapshot.read_snapshot(path, solver.net, solver.optimizer)
        solver.schedule.current_step = restored.current_step
        content, note = sidecar.read_sidecar(sidecar.sidecar_path(path), restored.iteration, restored.model)
        for text in (*restored.notes, *[f"{note}: it is not used"] * bool(note)):
            solver.tell(WarningIssued(text))
        if content is None:
            self._seek()
        else:
            self._restore(content)
        if solver.average:
            self._restore_average(path, content)

    def _restore(self, content: dict[str, Any]) -> None:
        solver = self.solver
        solver.resumed_loss(content["loss"])
        ranks, size = content["world_size"], solver.team.world_size
        if ranks == size:
            sidecar.restore_random_state(content["random"][solver.team.rank])
        else:
            found = f"the snapshot is of {ranks} processes, and this is a training with {size}"
            solver.tell(
                WarningIssued(f"{found}: each goes on from its share of the records, with random numbers of its own")
            )
        train = {key: _share_of(state, ranks, size) for key, state in content["train"].items()}
        for part, states in zip((solver.train_net, *solver.tests), (train, *content["test"])):
            for key, feed in part.feeds.items():
                if key in states:
                    feed.restore(states[key])
        solver.schedule.restore(content["schedule"])
        if solver.watch and content["watch"]:
            solver.watch.restore(content["watch"])
        if solver.loss_scale and content["loss_scale"]:
            solver.loss_scale.restore(content["loss_scale"])

    def _restore_average(self, path: str, content: dict[str, Any] | None) -> None:
        """The averaged weights beside a snapshot; without them the average begins with the weights."""
        assert self.solver.average
        beside = SnapshotPaths.beside(path).average
        if content is None or content["ema"] is None or not Path(beside).exists():
            self.solver.tell(WarningIssued(f"`{path}` has no averaged weights: the average begins anew"))
            self.solver.average.restart()
            return
        with self.solver.average.applied():
            start_from(self.solver.net, beside)
        self.solver.average.updates = content["ema"]

    def _seek(self) -> None:
        """Put the data where it must have been, for a snapshot that does not say."""
        solver, settings = self.solver, self.solver.settings
        for feed in solver.train_net.feeds.values():
            feed.seek(solver.iteration * settings.iter_size)
        interval = settings.test_interval
        done = -(-solver.iteration // interval) - (not settings.test_initialization) if interval else 0
        for test, batches in zip(solver.tests, settings.test_iter):
            for feed in test.feeds.values():
                feed.seek(max(0, done) * batches)


def _share_of(state: dict[str, Any], ranks: int, size: int) -> dict[str, Any]:
    """The state of a data layer of which each of `ranks` processes read so many records, for each of `size`.

    >>> _share_of({"seed": 7, "position": 30}, 4, 3)
    {'seed': 7, 'position': 40}
    """
    return {**state, "position": state["position"] * ranks // size} if "position" in state else state
