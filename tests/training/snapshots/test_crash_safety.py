"""What a killed run, an older run, or a full disk leaves, and what the next run makes of it."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from netc import train
from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.snapshots import selection, staging
from netc.training.snapshots.run_identity import Run, latest_run, run_path, write_latest_run
from tests.training.conftest import SOLVER


def warnings_of(heard):
    return [event.text for event in heard if isinstance(event, events.WarningIssued)]


def snapshots(work):
    return sorted(each.iteration for each in selection.find("small"))


def run(steps, seed=3, snapshot=None, **options):
    """Train with a snapshot per iteration; return the solver and what it reported."""
    Path("solver.prototxt").write_text(SOLVER.replace("random_seed: 3", f"random_seed: {seed}") + "snapshot: 1")
    heard = []
    solver = train("solver.prototxt", iterations=steps, snapshot=snapshot, listener=heard.append, **options)
    return solver, heard


class KilledError(BaseException):
    """In place of a kill: the process ends here."""


def kill_after(monkeypatch, renames):
    """End the process after a number of renames."""
    left, replace = [renames], os.replace

    def counted(source, target):
        if not left[0]:
            raise KilledError
        left[0] -= 1
        replace(source, target)

    monkeypatch.setattr(os, "replace", counted)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)


@pytest.mark.parametrize("renames", range(1, 7))
def test_a_kill_while_an_older_run_is_overwritten(work, renames):
    """Whatever the moment, the next run resumes from a snapshot whose files belong together, or starts anew."""
    run(2, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, renames)
        with pytest.raises(KilledError):
            run(1)
    solver, heard = run(1, snapshot="auto")
    whole, _ = run(solver.iteration)
    assert all(one.data.equal(same.data) for one, same in zip(solver.net.blobs, whole.net.blobs))
    assert (solver.iteration, any("earlier run" in text or "other run" in text for text in warnings_of(heard))) in (
        (1, True),
        (2, True),
    )


def test_the_old_commit_mark_goes_first(work):
    run(1, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 4)  # the latest run, and three files in the temporary directory
        with pytest.raises(KilledError):
            run(1)
    assert not (work / "small_iter_1.solverstate").exists()
    assert (work / "small_iter_1.caffemodel").exists()


@pytest.mark.parametrize("name", ["caffemodel", "netc.json", "solverstate"])
def test_files_of_two_runs_do_not_mix(work, name):
    """A whole file, but of another run: the explicit snapshot is an error, and `auto` skips it."""
    run(2, seed=5)
    kept = Path(f"small_iter_2.{name}").read_bytes()
    shutil.rmtree("older", ignore_errors=True)
    for path in work.glob("*small*"):
        path.unlink()
    run(2)
    Path(f"small_iter_2.{name}").write_bytes(kept)
    with pytest.raises(NetcError) as caught:
        run(1, snapshot="small_iter_2.solverstate")
    assert caught.value.diagnostics[0].code == "E705"
    _, heard = run(1, snapshot="auto")
    assert [event.path for event in heard if isinstance(event, events.RestoreStarted)] == ["small_iter_1.solverstate"]
    skipped, of_another = "skipped `small_iter_2.solverstate`: ", "1 snapshot belongs to another run and is not used"
    assert warnings_of(heard)[0].startswith(of_another if name == "solverstate" else skipped)


def test_a_changed_history_is_found(work):
    run(1)
    content = bytearray(Path("small_iter_1.solverstate").read_bytes())
    content[-600] ^= 1  # a number of the history, before the commit mark
    Path("small_iter_1.solverstate").write_bytes(content)
    with pytest.raises(NetcError, match="its history has changed since it was written"):
        run(1, snapshot="small_iter_1.solverstate")


def test_auto_does_not_take_the_later_iteration_of_an_older_run(work):
    run(6, seed=5)
    _, heard = run(2)
    assert warnings_of(heard) == [
        "`small` has snapshots of an earlier run, up to iteration 6; this run overwrites those of its own iterations"
    ]
    assert snapshots(work) == [1, 2, 3, 4, 5, 6]
    solver, heard = run(1, snapshot="auto")
    assert solver.iteration == 3
    assert warnings_of(heard) == [
        "4 snapshots belong to other runs and are not used, up to `small_iter_6.solverstate`: "
        "to resume from it, pass its path"
    ]
    whole, _ = run(3)
    assert all(one.data.equal(same.data) for one, same in zip(solver.net.blobs, whole.net.blobs))


def test_auto_starts_anew_if_the_latest_run_has_no_snapshot(work):
    run(2, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 1)  # only the file that names the run
        with pytest.raises(KilledError):
            run(1)
    solver, heard = run(1, snapshot="auto")
    assert solver.iteration == 1
    assert warnings_of(heard)[0].startswith("2 snapshots belong to other runs and are not used")


def test_a_run_that_branches_off_does_not_take_what_it_left(work):
    run(6)
    run(1, snapshot="small_iter_2.solverstate")
    solver, heard = run(1, snapshot="auto")
    assert solver.iteration == 4
    assert "up to `small_iter_6.solverstate`" in warnings_of(heard)[0]


def test_without_the_file_that_names_the_run_the_last_snapshot_decides(work):
    run(4, seed=5)
    run(2)
    run_path("small").unlink()
    solver, _ = run(1, snapshot="auto")
    assert solver.iteration == 3


def test_a_damaged_file_that_names_the_run_is_reported(work):
    run(2)
    run_path("small").write_text('{"id": 3}')
    solver, heard = run(1, snapshot="auto")
    assert solver.iteration == 3
    assert warnings_of(heard)[0] == "`.small.run.json` is damaged: `id` is 3, expected a string"


def test_a_run_keeps_its_identity_through_restarts(work):
    first, _ = run(2)
    second, heard = run(2, snapshot="auto")
    assert second.checkpoints.run == first.checkpoints.run == latest_run("small")
    assert not warnings_of(heard)
    third, _ = run(1, snapshot="small_iter_1.solverstate")
    assert third.checkpoints.run.ancestors[-1].id == first.checkpoints.run.id
    assert third.checkpoints.run.ancestors[-1].iteration == 1


def test_ancestors_are_bounded():
    one = Run()
    for iteration in range(60):
        one = one.branch(iteration)
    assert len(one.ancestors) == 50
    assert [each.iteration for each in one.branch(57).ancestors][-3:] == [56, 57, 57]


def test_snapshots_of_caffe_are_taken_by_iteration_and_doubts_are_reported(work):
    run(3)
    for number in (1, 2, 3):
        state = f"small_iter_{number}.solverstate"
        without_mark(state)
        os.utime(state, (1000 - number, 1000 - number))
    run_path("small").unlink()
    solver, heard = run(1, snapshot="auto")
    assert solver.iteration == 4
    assert "`small_iter_3.solverstate` was written before `small_iter_1.solverstate`: it may belong to another run" in (
        warnings_of(heard)
    )


def without_mark(path):
    from dataclasses import replace

    from netc import weights as files

    files.write_solverstate(path, replace(files.read_solverstate(path), commit=None))


def test_keep_deletes_only_what_netc_wrote_as_that_snapshot(work):
    run(1)
    (work / "small_iter_1.notes.txt").write_text("mine")
    (work / "small_iter_1.onnx").write_text("converted")
    run(2, snapshot="auto", keep=1)
    assert sorted(path.name for path in work.glob("small_iter_*")) == [
        "small_iter_1.notes.txt",
        "small_iter_1.onnx",
        "small_iter_3.caffemodel",
        "small_iter_3.netc.json",
        "small_iter_3.solverstate",
    ]


def test_keep_leaves_changed_files_and_other_runs(work):
    run(5, seed=5)
    run(2)
    (work / "small_iter_1.caffemodel").write_bytes(b"of the user")
    run(2, snapshot="auto", keep=2)
    assert snapshots(work) == [3, 4, 5], "5 is of the first run"
    assert (work / "small_iter_1.caffemodel").read_bytes() == b"of the user"
    assert not (work / "small_iter_1.netc.json").exists()


def test_leftovers_of_a_killed_process_are_removed(work):
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 3)  # the latest run, and two files in the temporary directory
        with pytest.raises(KilledError):
            run(1)
    (leftover,) = work.glob(".small_iter_1.*.tmp")
    assert {path.name for path in leftover.iterdir()} == {"small_iter_1.caffemodel", "small_iter_1.netc.json"}
    (work / ".small_iter_7.solverstate.0123456789ab.tmp").write_bytes(b"of an earlier version")
    (work / "..small.run.json.0123456789ab.tmp").write_bytes(b"")
    others = [".smaller_iter_1.0123456789ab.tmp", ".small_iter_1.txt.0123456789ab.tmp", ".small_iter_1.tmp"]
    for name in others:
        (work / name).mkdir()
    run(1)
    assert sorted(path.name for path in work.glob(".*small*tmp")) == sorted(others)


def test_leftovers_with_long_names_are_removed(work):
    prefix = "\N{GREEK SMALL LETTER LAMDA}" * 90  # 180 bytes
    with staging.staging(f"{prefix}_iter_1") as staged:
        pass
    staged.folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, 0)
        patch.setattr(Path, "unlink", lambda _: None)
        with pytest.raises(KilledError):
            write_latest_run(prefix, Run())
    left = set(work.glob(".*.tmp"))
    assert len(left) == 2
    assert {path.absolute() for path in staging.remove_leftovers(prefix)} == left
    assert not any(path.exists() for path in left)


def test_the_temporary_files_of_a_running_process_are_kept(work):
    with staging.staging("small_iter_1") as staged:
        assert staging.remove_leftovers("small") == []
        assert staged.folder.is_dir()
    assert not staged.folder.exists()
    staged.folder.mkdir()
    assert staging.remove_leftovers("small") == [staged.folder]


def full(handle):
    raise OSError(28, "No space left on device")


def test_a_full_disk_does_not_end_the_run(work, monkeypatch):
    """The snapshot that is due is left out with a warning; the run goes on, and later snapshots are complete."""
    fsync, heard = os.fsync, []

    def listener(event):
        heard.append(event)
        if isinstance(event, events.IterationFinished):
            monkeypatch.setattr(os, "fsync", full if event.iteration == 2 else fsync)

    Path("solver.prototxt").write_text(SOLVER + "snapshot: 1")
    train("solver.prototxt", iterations=3, listener=listener)
    assert snapshots(work) == [1, 3]
    assert warnings_of(heard) == [
        "cannot write `small_iter_2.caffemodel`: no space left on device; training continues without this snapshot"
    ]
    assert not list(work.glob(".small*.tmp"))


def test_a_disk_that_stays_full_ends_the_run_with_an_error(work, monkeypatch):
    heard = []

    def listener(event):
        heard.append(event)
        if isinstance(event, events.IterationFinished):
            monkeypatch.setattr(os, "fsync", full)

    for more, last in (("snapshot: 2", 3), ("snapshot: 2 snapshot_after_train: false", 2)):
        monkeypatch.undo()
        os.chdir(work)
        Path("solver.prototxt").write_text(SOLVER + more)
        with pytest.raises(NetcError, match=r"cannot write .*: no space left on device") as caught:
            train("solver.prototxt", iterations=3, listener=listener)
        assert caught.value.diagnostics[0].code == "E408"
        assert f"small_iter_{last}." in caught.value.diagnostics[0].message
    assert [event.iteration for event in heard if isinstance(event, events.IterationFinished)] == [1, 2, 3, 1, 2, 3]


def test_what_is_not_a_file_is_not_replaced(work):
    run(1)
    (work / "small_iter_1.caffemodel").unlink()
    (work / "small_iter_1.caffemodel").mkdir()
    with pytest.raises(NetcError, match=r"cannot write `small_iter_1.caffemodel`: it is not a regular file"):
        run(1)
    assert (work / "small_iter_1.solverstate").exists(), "the old commit mark stays"


def test_a_link_is_kept_and_its_file_replaced(work):
    run(1, seed=5)
    (work / "elsewhere").mkdir()
    target = work / "elsewhere" / "weights"
    (work / "small_iter_1.caffemodel").rename(target)
    (work / "small_iter_1.caffemodel").symlink_to(target)
    run(1)
    assert (work / "small_iter_1.caffemodel").is_symlink()
    run(1, snapshot="small_iter_1.solverstate")


def test_a_new_run_is_named_while_it_prepares(work):
    run(2, seed=5)
    older = latest_run("small")
    named = []
    Path("solver.prototxt").write_text(SOLVER + "snapshot: 1")

    def prepare(graph, *_):
        named.append(latest_run("small"))
        return graph

    solver = train("solver.prototxt", iterations=1, prepare=prepare)
    assert set(named) == {solver.checkpoints.run}
    assert solver.checkpoints.run != older


@pytest.mark.parametrize("exists", [True, False])
def test_a_run_that_cannot_be_prepared_is_not_the_latest(work, exists):
    if exists:
        run(2, seed=5)
    older = latest_run("small")
    assert (older is None) != exists
    net = (work / "net.prototxt").read_text()
    (work / "net.prototxt").write_text(net.replace('source: "records"', 'source: "absent"'))
    with pytest.raises(NetcError):
        run(1)
    assert latest_run("small") == older


def test_the_run_is_named_before_its_first_iteration(work):
    before = time.time()
    run(1)
    content = json.loads(run_path("small").read_text())
    assert content["started"] >= before - 1
    assert content["ancestors"] == []
