"""Writes, restores and deletes a solver's snapshots.

PREFIX_iter_N.caffemodel, .netc.json, .solverstate     one snapshot (netc.training.snapshots.snapshot_files)
PREFIX_iter_N.ema.caffemodel                           its averaged weights, with `ema_decay`
PREFIX_best.*                                          the snapshot with the best `watch`
.PREFIX.run.json                                       the latest run (netc.training.snapshots.run_identity)
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError, counted
from netc.files import exists
from netc.training.log.events import LogNote, RestoreStarted, SnapshotStarted, WarningIssued
from netc.training.recipes.fine_tuning import start_from
from netc.training.snapshots import run_identity, selection, sidecar, staging
from netc.training.snapshots import snapshot_files as snapshot
from netc.training.snapshots.commit import committed, file_digest
from netc.training.snapshots.positions import Positions
from netc.training.snapshots.recurrent_state import restore_state
from netc.training.snapshots.run_identity import UNKNOWN, Run
from netc.training.snapshots.snapshot_files import ReadSnapshot, SnapshotPaths
from netc.training.solver.signals import deferred_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.training.recipes.ema import WeightAverage
    from netc.training.snapshots.selection import Found
    from netc.training.snapshots.staging import Staging
    from netc.training.solver.run_state import RunState

UNUSABLE = ("E401", "E402", "E403", "E404", "E405", "E406", "E702", "E705", "E706")
"""Codes of incomplete or damaged snapshots, which are skipped in favor of an older one."""


class Checkpoints:
    """Writes and restores the snapshots of one run. Only rank 0 writes files."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.run = Run()
        self.written: int | None = None
        """The iteration of the last snapshot of this process."""
        self._resumed = self._named = False
        self._held: Positions | None = None
        self._failure: NetcError | None = None

    # ------------------------------------------------------------------ writing

    def begin(self) -> None:
        """Prepare for a run: remove what killed runs left, name the latest run, and report snapshots of others."""
        prefix, listener = self.state.settings.prefix, self.state.listener
        self.state.world.gather(None)  # all processes have chosen their snapshot
        if not self.state.world.is_main:
            return
        for path in staging.remove_leftovers(prefix):
            listener(LogNote("netc:1", f"Removed {path}, which a killed run left"))
        others = [] if self._resumed else [each for each in selection.find(prefix) if not each.belongs_to(self.run)]
        if others:
            newest = f"`{prefix}` has snapshots of an earlier run, up to iteration {others[0].iteration}"
            listener(WarningIssued(f"{newest}; this run overwrites those of its own iterations"))
        try:
            self._name_run()
        except NetcError as error:
            listener(WarningIssued(error.diagnostics[0].message))

    def write(self) -> str:
        """Write a snapshot and delete old ones; return the path of its solver state.

        Raises NetcError E406 to E409, and E301 and E701 for errors on the device.
        """
        self.state.raise_device_errors()
        settings = self.state.settings
        paths = SnapshotPaths.of(settings.prefix, self.state.iteration, settings.snapshot_format)
        self._write(paths)
        self.written, self._failure = self.state.iteration, None
        if settings.options.keep and self.state.world.is_main:
            self._delete_old(settings.options.keep)
        return paths.state

    def try_to(self, write: Callable[[], object]) -> None:
        """Call `write` or `write_best`; if the file system refuses, warn, so that the run is not lost.

        `raise_failure` raises the error at the end of the run unless a later snapshot succeeds.
        """
        try:
            write()
        except NetcError as error:
            if error.diagnostics[0].code != "E408":
                raise
            self._failure = error
            text = f"{error.diagnostics[0].message}; training continues without this snapshot"
            self.state.listener(WarningIssued(text))

    @property
    def failed(self) -> bool:
        """Whether the last snapshot could not be written."""
        return self._failure is not None

    def raise_failure(self) -> None:
        """Raise the error of the last snapshot if it could not be written: NetcError E408."""
        if self._failure:
            raise self._failure

    def write_best(self) -> None:
        """Write the snapshot PREFIX_best in place of the previous one. Raises NetcError E406 to E409."""
        settings = self.state.settings
        self._write(SnapshotPaths.named(f"{settings.prefix}_best", settings.snapshot_format))

    def hold_positions(self) -> None:
        """Let snapshots of this iteration contain the present positions in the data, whatever is read until then.

        A resumed run repeats the tests of its first iteration, and the passes after its last.
        """
        self._held = Positions.of(self.state)

    def release_positions(self) -> None:
        """End the effect of `hold_positions`."""
        self._held = None

    def _write(self, paths: SnapshotPaths) -> None:
        content = self.sidecar()
        if not self.state.world.is_main:
            return
        with deferred_signals(), self._present().with_statistics(self.state):
            self._name_run()
            with staging.staging(paths.stem) as staged:
                self._write_staged(staged, paths, content)

    def _write_staged(self, staged: Staging, paths: SnapshotPaths, content: dict[str, Any]) -> None:
        state, settings, graph = self.state, self.state.settings, self.state.train.graph
        model, average = staged.path(paths.model), staged.path(paths.average) if state.weight_average else None
        self._announce(paths.model, "model")
        snapshot.write_model(model, state.net, graph, paths.hdf5, settings.snapshot_diff)
        if state.weight_average and average:
            self._announce(paths.average, "average")
            with state.weight_average.applied():
                snapshot.write_model(average, state.net, graph, paths.hdf5)
        beside = staged.path(paths.sidecar)
        sidecar.write_sidecar(beside, {**content, "model": file_digest(Path(model))})
        self._announce(paths.state, "state")
        bare = snapshot.state_of(state.optimizer, paths.model, state.schedule.current_step)
        marked = committed(bare, self.run, Path(model), Path(beside), Path(average) if average else None)
        snapshot.write_state(staged.path(paths.state), marked, paths.hdf5)
        staged.commit([paths.model, *[paths.average] * bool(average), paths.sidecar], paths.state)

    def _name_run(self) -> None:
        if not self._named and self._named_run() != self.run:
            run_identity.write_latest_run(self.state.settings.prefix, self.run)
        self._named = True

    def _announce(self, path: str, kind: str) -> None:
        self.state.listener(SnapshotStarted(self.state.iteration, path, kind, path.endswith(".h5")))

    def _delete_old(self, keep: int) -> None:
        """Delete all but the newest snapshots of this run; those of other runs are kept."""
        found = [each for each in selection.find(self.state.settings.prefix) if each.iteration <= self.state.iteration]
        for each in [each for each in found if each.mark and each.belongs_to(self.run)][keep:]:
            _delete(each)

    def sidecar(self) -> dict[str, Any]:
        """Return what a snapshot needs in addition to Caffe's files, as plain JSON. All processes must call it."""
        state, positions = self.state, self._present()
        return {
            "iteration": state.iteration,
            "loss": positions.loss,
            "random": state.world.gather(positions.random),
            "recurrent": state.world.gather(positions.recurrent),
            "train": positions.train,
            "test": positions.tests,
            "world_size": state.world.world_size,
            "schedule": state.schedule.state(),
            "watch": state.early_stopping and state.early_stopping.state(),
            "ema": state.weight_average and state.weight_average.updates,
            "loss_scale": state.loss_scale and state.loss_scale.state(),
        }

    def _present(self) -> Positions:
        """The positions that a snapshot contains."""
        held = self._held
        return held if held and held.iteration == self.state.iteration else Positions.of(self.state)

    # ------------------------------------------------------------------ reading

    def restore_newest(self) -> str | None:
        """Resume from the newest complete snapshot of the prefix's latest run and return its path; None without one.

        Raises NetcError E703 for a snapshot of another net or solver.
        """
        found, listener = selection.find(self.state.settings.prefix), self.state.listener
        candidates = selection.of_run(found, selection.latest_of(found, self._named_run()))
        if others := [each for each in found if each not in candidates]:
            listener(WarningIssued(selection.passed_over(others)))
        for each in candidates:
            if (read := self._read_usable(each.path)) is not None:
                listener(LogNote("netc:1", f"Resuming from {each}"))
                if note := selection.may_be_older(each, candidates):
                    listener(WarningIssued(note))
                self._restore(read)
                return each.path
        return None

    def _read_usable(self, path: str) -> ReadSnapshot | None:
        """Read a snapshot; None, with a warning, for one that is incomplete or damaged."""
        try:
            return self._read(path)
        except NetcError as error:
            if error.diagnostics[0].code not in UNUSABLE:
                raise
            self.state.listener(WarningIssued(f"skipped `{path}`: {error.diagnostics[0].message}"))
            return None

    def restore(self, path: str) -> None:
        """See Solver.restore."""
        self._restore(self._read(path))

    def _named_run(self) -> Run | None:
        try:
            return run_identity.latest_run(self.state.settings.prefix)
        except NetcError as error:
            self.state.listener(WarningIssued(error.diagnostics[0].message))
            return None

    def _read(self, path: str) -> ReadSnapshot:
        read = snapshot.read_snapshot(path, self.state.net, self.state.optimizer)
        if read.sidecar is not None:
            sidecar.check_feeds(sidecar.sidecar_path(path), read.sidecar, [part.feeds for part in self.state.nets])
        return read

    def _restore(self, read: ReadSnapshot) -> None:
        state = self.state
        state.listener(RestoreStarted(read.path))
        read.load(state.net, state.optimizer)
        state.schedule.current_step = read.state.current_step
        for text in read.notes:
            state.listener(WarningIssued(text))
        self._seek()
        if read.sidecar is not None:
            self._restore_sidecar(read.sidecar)
        if state.weight_average:
            self._restore_average(state.weight_average, read)
        self.run = self._continued(read)
        self._resumed, self._named, self._held = True, False, None

    def _continued(self, read: ReadSnapshot) -> Run:
        """The identity of a run that resumes from a snapshot: a new one unless it is the newest of its run."""
        run, iteration = read.run, read.state.iter
        later = (each for each in selection.find(self.state.settings.prefix) if each.iteration > iteration)
        return run.branch(iteration) if run.id == UNKNOWN or any(each.belongs_to(run) for each in later) else run

    def _restore_sidecar(self, content: dict[str, Any]) -> None:
        state = self.state
        state.loss.restore(content["loss"])
        state.loss_restored = True
        old_size, size = content["world_size"], state.world.world_size
        self._restore_random_state(content["random"], old_size)
        self._restore_recurrent_state(content.get("recurrent"), old_size)
        train = {key: _rescaled(feed, old_size, size) for key, feed in content["train"].items()}
        for part, states in zip(state.nets, (train, *content["test"])):
            for key, feed in part.feeds.items():
                if key in states:
                    feed.restore(states[key])
                else:
                    text = f"the snapshot has no position of layer `{key}`: it resumes where the iteration implies"
                    state.listener(WarningIssued(text))
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

    def _restore_recurrent_state(self, states: list[list[dict[str, Any]]] | None, old_size: int) -> None:
        world = self.state.world
        if states is None or old_size != world.world_size:
            return
        for part, entries in zip(self.state.nets, states[world.rank]):
            for name in restore_state(part.net, entries, self.state.device):
                text = f"the snapshot's state `{name}` does not fit the net: it starts from zeros"
                self.state.listener(WarningIssued(text))

    def _restore_average(self, average: WeightAverage, read: ReadSnapshot) -> None:
        """Restore the averaged weights next to a snapshot; without them the average restarts from the weights."""
        file = SnapshotPaths.of_state(read.path).average
        content = read.sidecar
        if content is None or content["ema"] is None or not exists(file):
            self.state.listener(WarningIssued(f"`{read.path}` has no averaged weights: the average restarts"))
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


def _delete(found: Found) -> None:
    """Delete the files of a snapshot, the one that marks it complete first; files changed since then are kept."""
    paths, mark = SnapshotPaths.of_state(found.path), found.mark
    assert mark is not None, "only netc's own snapshots are deleted"
    digests = {paths.model: mark.model, paths.average: mark.average, paths.sidecar: mark.sidecar}
    with contextlib.suppress(OSError):
        Path(found.path).unlink()
    for name, digest in digests.items():
        with contextlib.suppress(OSError):
            if file_digest(Path(name)) == digest:
                Path(name).unlink()


def _rescaled(state: dict[str, Any], old_size: int, size: int) -> dict[str, Any]:
    """The state of a data layer, whose records `old_size` processes divided among them, for each of `size` processes.

    >>> _rescaled({"seed": 7, "position": 30}, 4, 3)
    {'seed': 7, 'position': 40}
    """
    return {**state, "position": state["position"] * old_size // size} if "position" in state else state
