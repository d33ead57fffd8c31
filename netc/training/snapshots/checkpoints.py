"""Writes, finds, restores and deletes a solver's snapshots.

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

from netc.diagnostics import NetcError, counted
from netc.training.log.events import RestoreStarted, SnapshotStarted, WarningIssued
from netc.training.recipes.fine_tuning import start_from
from netc.training.snapshots import sidecar
from netc.training.snapshots import snapshot_files as snapshot
from netc.training.snapshots.snapshot_files import SnapshotPaths

if TYPE_CHECKING:
    from netc.training.recipes.ema import WeightAverage
    from netc.training.solver.run_state import RunState

ENDINGS = (".solverstate", ".solverstate.h5")
UNUSABLE = ("E401", "E402", "E403", "E404", "E405", "E406", "E702", "E705")
"""Codes of incomplete or damaged snapshots, which are skipped in favor of an older one."""


class Checkpoints:
    """Writes and restores the snapshots of one run. Only rank 0 writes files."""

    def __init__(self, state: RunState) -> None:
        self.state = state

    # ------------------------------------------------------------------ writing

    def write(self) -> str:
        """Write a snapshot and delete old ones; return the path of its solver state.

        Raises NetcError E406 to E409, and E301 and E701 for errors on the device.
        """
        self.state.raise_device_errors()
        settings = self.state.settings
        paths = SnapshotPaths.of(settings.prefix, self.state.iteration, settings.snapshot_format)
        self._write(paths)
        if settings.options.keep and self.state.world.is_main:
            self._delete_old(settings.options.keep)
        return paths.state

    def write_best(self) -> None:
        """Write the snapshot PREFIX_best in place of the previous one. Raises NetcError E406 to E409."""
        settings = self.state.settings
        paths = SnapshotPaths.named(f"{settings.prefix}_best", settings.snapshot_format)
        if self.state.world.is_main:
            Path(paths.state).unlink(missing_ok=True)  # it must not be combined with other weights if writing fails
        self._write(paths)

    def _write(self, paths: SnapshotPaths) -> None:
        state, settings = self.state, self.state.settings
        content = self.sidecar()
        if not state.world.is_main:
            return
        self._announce(paths.model, "model")
        snapshot.write_model(paths.model, state.net, state.train.graph, paths.hdf5, settings.snapshot_diff)
        if state.weight_average:
            self._announce(paths.average, "average")
            with state.weight_average.applied():
                snapshot.write_model(paths.average, state.net, state.train.graph, paths.hdf5)
        sidecar.write_sidecar(sidecar.sidecar_path(paths.state), content)
        self._announce(paths.state, "state")
        step = state.schedule.current_step
        snapshot.write_state(paths.state, state.optimizer, paths.model, step, paths.hdf5)

    def _announce(self, path: str, kind: str) -> None:
        self.state.listener(SnapshotStarted(self.state.iteration, path, kind, path.endswith(".h5")))

    def _delete_old(self, keep: int) -> None:
        """Delete all but the newest snapshots. Those of later iterations belong to another run, and are kept."""
        own = [found for found in self.find() if found[0] <= self.state.iteration]
        for _, state in own[keep:]:
            stem = str(sidecar.sidecar_path(state)).removesuffix(".netc.json")
            for name in (state, *glob.glob(f"{glob.escape(stem)}.*")):  # noqa: PTH207 - the solver state marks a complete snapshot
                with contextlib.suppress(FileNotFoundError):
                    Path(name).unlink()

    def sidecar(self) -> dict[str, Any]:
        """Return what a snapshot needs in addition to Caffe's files, as plain JSON. All processes must call it."""
        state = self.state
        train, *tests = [{key: feed.state() for key, feed in part.feeds.items()} for part in state.nets]
        return {
            "iteration": state.iteration,
            "model": snapshot.model_checksum(state.net),
            "loss": state.loss.state(),
            "random": state.world.gather(sidecar.random_state()),
            "train": train,
            "test": tests,
            "world_size": state.world.world_size,
            "schedule": state.schedule.state(),
            "watch": state.early_stopping and state.early_stopping.state(),
            "ema": state.weight_average and state.weight_average.updates,
            "loss_scale": state.loss_scale and state.loss_scale.state(),
        }

    # ------------------------------------------------------------------ reading

    def find(self) -> list[tuple[int, str]]:
        """Return the iterations and solver states of the prefix's snapshots, newest first."""
        prefix = self.state.settings.prefix
        pattern = re.compile(re.escape(prefix) + r"_iter_(\d+)(\.solverstate(?:\.h5)?)")
        names = [name for ending in ENDINGS for name in glob.glob(f"{glob.escape(prefix)}_iter_*{ending}")]  # noqa: PTH207
        matches = [match for match in map(pattern.fullmatch, names) if match]
        return sorted(((int(match[1]), match[0]) for match in matches), reverse=True)

    def restore_newest(self) -> str | None:
        """Resume from the newest complete snapshot of the prefix and return its path; None if there is none.

        Raises NetcError E703 for a snapshot of another net or solver.
        """
        for _, path in self.find():
            try:
                snapshot.check_complete(path, self.state.net, self.state.optimizer)
            except NetcError as error:
                if error.diagnostics[0].code not in UNUSABLE:
                    raise
                self.state.listener(WarningIssued(f"skipped `{path}`: {error.diagnostics[0].message}"))
                continue
            self.restore(path)
            return path
        return None

    def restore(self, path: str) -> None:
        """See Solver.restore."""
        state = self.state
        state.listener(RestoreStarted(path))
        restored = snapshot.read_snapshot(path, state.net, state.optimizer)
        state.schedule.current_step = restored.current_step
        content, note = sidecar.read_sidecar(sidecar.sidecar_path(path), restored.iteration, restored.model)
        for text in (*restored.notes, *[f"{note}: it is ignored"] * bool(note)):
            state.listener(WarningIssued(text))
        if content is None:
            self._seek()
        else:
            self._restore_sidecar(content)
        if state.weight_average:
            self._restore_average(state.weight_average, path, content)

    def _restore_sidecar(self, content: dict[str, Any]) -> None:
        state = self.state
        state.loss.restore(content["loss"])
        state.loss_restored = True
        old_size, size = content["world_size"], state.world.world_size
        self._restore_random_state(content["random"], old_size)
        train = {key: _rescaled(feed, old_size, size) for key, feed in content["train"].items()}
        for part, states in zip(state.nets, (train, *content["test"])):
            for key, feed in part.feeds.items():
                if key in states:
                    feed.restore(states[key])
        state.schedule.restore(content["schedule"])
        if state.early_stopping and content["watch"]:
            state.early_stopping.restore(content["watch"])
        if state.loss_scale and content["loss_scale"]:
            state.loss_scale.restore(content["loss_scale"])

    def _restore_random_state(self, states: list[dict[str, Any]], old_size: int) -> None:
        world = self.state.world
        if old_size == world.world_size:
            sidecar.restore_random_state(states[world.rank])
            return
        found = f"the snapshot was written by {counted(old_size, 'process')}, and this run has {world.world_size}"
        effect = "each process resumes at its part of the records, with different random numbers"
        self.state.listener(WarningIssued(f"{found}: {effect}"))

    def _restore_average(self, average: WeightAverage, path: str, content: dict[str, Any] | None) -> None:
        """Restore the averaged weights next to a snapshot; without them the average restarts from the weights."""
        file = SnapshotPaths.of_state(path).average
        if content is None or content["ema"] is None or not Path(file).exists():
            self.state.listener(WarningIssued(f"`{path}` has no averaged weights: the average restarts"))
            average.restart()
            return
        with average.applied():
            start_from(self.state.net, file)
        average.updates = content["ema"]

    def _seek(self) -> None:
        """Move the data to the position of a snapshot without a sidecar, computed from its iteration."""
        state, settings = self.state, self.state.settings
        for feed in state.train.feeds.values():
            feed.seek(state.iteration * settings.iter_size)
        interval = settings.test_interval
        done = -(-state.iteration // interval) - (not settings.test_initialization) if interval else 0
        for test, batches in zip(state.tests, settings.test_iter):
            for feed in test.feeds.values():
                feed.seek(max(0, done) * batches)


def _rescaled(state: dict[str, Any], old_size: int, size: int) -> dict[str, Any]:
    """The state of a data layer, whose records `old_size` processes divided among them, for each of `size` processes.

    >>> _rescaled({"seed": 7, "position": 30}, 4, 3)
    {'seed': 7, 'position': 40}
    """
    return {**state, "position": state["position"] * old_size // size} if "position" in state else state
