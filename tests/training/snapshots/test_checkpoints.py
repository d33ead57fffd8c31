"""Finding the newest whole snapshot, keeping some, keeping the best."""

import json
import multiprocessing
import os
import random
import re
import time
from pathlib import Path

import pytest
import torch

from netc import train
from netc.diagnostics import NetcError
from netc.training.distributed.world import World
from netc.training.log import events
from netc.training.log.caffe_log import GlogWriter
from netc.training.snapshots.sidecar import sidecar_path
from tests.training.conftest import SOLVER


def reported(solver, kind):
    return [event for event in solver.events if isinstance(event, kind)]


def iterations(work, pattern="small_iter_*.solverstate*"):
    return sorted({int(re.search(r"iter_(\d+)", path.name)[1]) for path in work.glob(pattern)})


@pytest.fixture
def three(solver_from):
    """Snapshots after 1, 2 and 10 iterations."""
    solver = solver_from()
    for steps in (1, 1, 8):
        solver.step(steps)
        solver.snapshot()
    return solver


def test_the_newest_is_the_one_of_the_highest_iteration(three, solver_from):
    other = solver_from()
    assert other.checkpoints.restore_newest() == "small_iter_10.solverstate"
    assert other.iteration == 10
    assert torch.equal(other.net.blobs[0].data, three.net.blobs[0].data)


def test_without_a_snapshot_a_new_run_starts(solver_from, work):
    (work / "smaller_iter_3.solverstate").write_bytes(b"another prefix")
    (work / "small_iter_x.solverstate").write_bytes(b"no number")
    assert solver_from().checkpoints.restore_newest() is None


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: cut(Path("small_iter_10.solverstate")),
        lambda: cut(Path("small_iter_10.caffemodel")),
        lambda: Path("small_iter_10.caffemodel").unlink(),
        lambda: Path("small_iter_10.solverstate").write_bytes(Path("small_iter_2.caffemodel").read_bytes()),
        lambda: Path("small_iter_10.caffemodel").write_bytes(Path("small_iter_1.caffemodel").read_bytes()),
    ],
    ids=[
        "state truncated",
        "weights truncated",
        "weights missing",
        "weights for a state",
        "weights of another iteration",
    ],
)
def test_incomplete_snapshots_are_skipped(three, solver_from, spoil):
    spoil()
    other = solver_from()
    before = [blob.data.clone() for blob in other.net.blobs]
    assert other.checkpoints.restore_newest() == "small_iter_2.solverstate"
    (warning,) = reported(other, events.WarningIssued)
    assert warning.text.startswith("skipped `small_iter_10.solverstate`: ")
    assert not all(torch.equal(blob.data, old) for blob, old in zip(other.net.blobs, before))
    for name in ("small_iter_1", "small_iter_2"):
        Path(f"{name}.solverstate").unlink()
    afresh = solver_from()
    assert afresh.checkpoints.restore_newest() is None
    assert afresh.iteration == 0
    assert all(torch.equal(blob.data, old) for blob, old in zip(afresh.net.blobs, before)), "nothing was read"


def test_a_snapshot_of_another_net_is_an_error(three, solver_from, work):
    net = work / "net.prototxt"
    net.write_text(net.read_text().replace("num_output: 4", "num_output: 5"))
    with pytest.raises(NetcError) as caught:
        solver_from().checkpoints.restore_newest()
    assert caught.value.diagnostics[0].code == "E703"


def test_a_snapshot_of_caffe_is_complete_without_a_sidecar(three, solver_from):
    sidecar_path("small_iter_10.solverstate").unlink()
    assert solver_from().checkpoints.restore_newest() == "small_iter_10.solverstate"


def test_train_from_auto(work):
    (work / "solver.prototxt").write_text(SOLVER + "snapshot: 3")
    heard = []
    first = train("solver.prototxt", snapshot="auto", iterations=4, listener=heard.append)
    texts = [event.text for event in heard if isinstance(event, events.LogNote)]
    assert "No snapshot of small to resume from: starting a new run" in texts
    second = train("solver.prototxt", snapshot="auto", weights="small_iter_3.caffemodel", iterations=1)
    assert (first.iteration, second.iteration) == (4, 5)
    whole = train("solver.prototxt", iterations=5)
    assert torch.equal(second.net.blobs[0].data, whole.net.blobs[0].data)


def test_keep_deletes_only_old_snapshots(solver_from, work):
    for name in ("small_iter_99.solverstate", "small_best.solverstate", "smaller_iter_1.solverstate"):
        (work / name).write_bytes(b"of another run")
    solver = solver_from("netc_param { keep: 2 ema_decay: 0.9 }")
    for _ in range(5):
        solver.step(1)
        solver.snapshot()
    assert iterations(work) == [4, 5, 99]
    assert iterations(work, "small_iter_*.caffemodel") == [4, 5]
    assert iterations(work, "small_iter_*.netc.json") == [4, 5]
    assert len(list(work.glob("*.ema.caffemodel"))) == 2
    assert (work / "small_best.solverstate").exists()
    assert (work / "smaller_iter_1.solverstate").exists()


TESTED = "test_iter: 1 test_interval: 1 snapshot_after_train: false "


def values_given(solver, values):
    """Let the watched output of the tests be these."""
    given, one = iter(values), solver.tester.test

    def changed(index):
        outputs = one(index)
        return tuple(events.Output(o.blob, next(given), o.loss_weight) if o.blob == name else o for o in outputs)

    name, solver.tester.test = solver.state.early_stopping.name, changed
    return solver


@pytest.mark.parametrize(
    ("watch", "values", "best"),
    [
        ('watch: "accuracy"', [0.2, 0.5, 0.4, 0.5], 1),
        ('watch: "loss"', [3, 2, 1, 2], 2),
        ('watch: "accuracy" better: "lower"', [0.3, float("nan"), 0.2, 0.25], 2),
    ],
)
def test_the_best_snapshot(solver_from, watch, values, best):
    solver = values_given(solver_from(f"{TESTED} netc_param {{ {watch} }}"), values)
    weights = []
    solver.on_start.append(lambda: weights.append(solver.net.blobs[0].data.clone()))
    solver.step(4)
    assert reported(solver, events.NewBest)[-1].iteration == best
    other = solver_from(f"{TESTED} netc_param {{ {watch} }}")
    other.restore("small_best.solverstate")
    assert other.iteration == best
    assert torch.equal(other.net.blobs[0].data, weights[best])
    expected = {**solver.state.early_stopping.state(), "misses": 0, "tested": best}
    assert other.state.early_stopping.state() == expected


def test_patience_stops_the_run_with_a_snapshot(solver_from):
    more = TESTED.replace("false", "true") + 'netc_param { watch: "accuracy" patience: 2 }'
    solver = values_given(solver_from(more), [0.2, 0.4, 0.3, 0.4, 0.9])
    solver.solve()
    (exhausted,) = reported(solver, events.PatienceExhausted)
    assert exhausted == events.PatienceExhausted(3, "accuracy", 2, 0.4, 1)
    assert reported(solver, events.RunFinished) == [events.RunFinished(3, stopped_early=True)]
    assert Path("small_iter_3.solverstate").exists()
    assert json.loads(Path("small_iter_3.netc.json").read_text())["watch"]["misses"] == 2


def test_patience_is_restored_from_a_snapshot(solver_from):
    more = TESTED + 'netc_param { watch: "accuracy" patience: 3 }'
    first = values_given(solver_from(more), [0.4, 0.3, 0.3])
    first.step(3)
    path = first.snapshot()
    second = values_given(solver_from(more), [0.1, 0.1])
    second.restore(path)
    second.solve()
    assert second.iteration == 3, "the third test in a row that was not better"


def test_an_output_that_no_test_net_has(solver_from):
    with pytest.raises(NetcError, match="no test net has an output `acuracy`") as caught:
        solver_from(TESTED + 'netc_param { watch: "acuracy" }')
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("E609", "did you mean `accuracy`?")


class OneOfTwo(World):
    """The second of two processes, of which the first does not exist."""

    rank, world_size = 1, 2

    def gather(self, value):
        return [value, value]


def test_a_snapshot_of_another_number_of_processes(three, solver_from, work):
    """One process read 10 batches of 6 records; of two, each has read 5."""
    other = solver_from(world=OneOfTwo())
    other.restore("small_iter_10.solverstate")
    (warning,) = reported(other, events.WarningIssued)
    assert warning.text.startswith("the snapshot was written by 1 process, and this run has 2")
    assert other.state.train.feeds["digits"].source.position == 5 * 6
    other.step(1)
    other.snapshot()
    assert not (work / "small_iter_11.solverstate").exists(), "only rank 0 writes"


def go_on(folder):
    """Train until the process is killed, and write a log."""
    os.chdir(folder)
    with open("log", "w", buffering=1) as log:
        train("solver.prototxt", snapshot="auto", listener=GlogWriter(log), keep=3)


def newest(work):
    return max(iterations(work, "small_iter_*.solverstate"), default=0)


@pytest.mark.slow
def test_killed_at_ten_random_moments(work, monkeypatch):
    """Each time the next run goes on from the newest snapshot, and the result is that of a run without kills."""
    (work / "solver.prototxt").write_text(SOLVER.replace("max_iter: 8", "max_iter: 100000") + "snapshot: 1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["netc.training.run", __name__])
    moments, before = random.Random(5), 0
    for _ in range(10):
        process = server.Process(target=go_on, args=(work,))
        process.start()
        while newest(work) == before:
            time.sleep(0.005)
            assert process.is_alive(), (work / "log").read_text()
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.join()
        log = (work / "log").read_text()
        assert re.findall(r"status from small_iter_(\d+)\.", log) == [str(before)] * bool(before)
        assert "skipped `" not in log
        assert newest(work) > before
        before = newest(work)
    assert len(iterations(work)) <= 4, "three are kept, and one may have been about to go"
    last = train("solver.prototxt", snapshot="auto", iterations=1)
    whole = train("solver.prototxt", iterations=before + 1)
    assert all(torch.equal(a.data, b.data) for a, b in zip(last.net.blobs, whole.net.blobs))
