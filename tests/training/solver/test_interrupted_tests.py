"""A run that is stopped, or asked for a snapshot, inside a test resumes with the same batches in all later tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from netc.training.log import events
from netc.training.solver.signals import Request
from tests.training.conftest import NET

TESTED = "test_iter: 3 test_iter: 2 test_interval: 4 test_initialization: false display: 2 "
STOP, SNAPSHOT, BOTH = Request.STOP, Request.SNAPSHOT, Request.SNAPSHOT_AND_STOP
SECOND = """
layer { name: "noise" type: "DummyData" top: "noise" include { phase: TEST }
  dummy_data_param { shape { dim: 2 } data_filler { type: "uniform" } } }
"""


@pytest.fixture(autouse=True)
def random_tests(work):
    """Test batches with random crops, mirrors and a blob of random numbers."""
    (work / "net.prototxt").write_text(NET + SECOND)


def at_call(number, request):
    """A function that requests something at one of its calls."""
    calls = iter(range(10_000))
    return lambda: request if next(calls) == number else Request.NONE


def results(solver, since=0):
    kinds = (events.TestFinished, events.FinalLoss, events.IterationDisplayed)
    heard = [event for event in solver.events if isinstance(event, kinds) and event.iteration >= since]
    return [(type(e).__name__, e.iteration, getattr(e, "outputs", None), e.loss) for e in heard]


def weights(solver):
    return [blob.data.clone() for blob in solver.net.blobs]


def same(one, other):
    return all(a.equal(b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("request_", [STOP, SNAPSHOT, BOTH])
@pytest.mark.parametrize("call", [4, 5, 7, 8])
def test_the_repeated_test_sees_the_same_batches(solver_from, call, request_):
    """Calls 4 to 6 are before the batches of the first test net, 7 and 8 before those of the second."""
    whole = solver_from(TESTED)
    whole.solve()
    first = solver_from(TESTED)
    first.state.requested = at_call(call, request_)
    first.solve()
    assert first.iteration == (8 if request_ is SNAPSHOT else 4)
    if request_ is SNAPSHOT:
        assert results(first) == results(whole)
    second = solver_from(TESTED)
    second.restore("small_iter_4.solverstate")
    second.solve()
    assert [kind for kind, *_ in results(second, 4)].count("TestFinished") == 4
    assert results(second) == results(whole, 4)
    assert same(weights(second), weights(whole))


def test_a_solver_that_is_stopped_in_a_test_continues_with_the_same_batches(solver_from):
    whole = solver_from(TESTED)
    whole.solve()
    solver = solver_from(TESTED)
    solver.state.requested = at_call(5, STOP)
    solver.solve()
    solver.events.clear()
    solver.solve()
    assert results(solver) == results(whole, 4)


def test_a_snapshot_requested_in_the_last_test_is_not_written_again(solver_from):
    """Caffe, and netc before, wrote the final snapshot a second time, with the position of one more pass."""
    solver = solver_from(TESTED)
    solver.state.requested = at_call(14, SNAPSHOT)
    solver.solve()
    written = [event.iteration for event in solver.events if isinstance(event, events.SnapshotStarted)]
    assert written == [8, 8], "weights and state, once"
    notes = [event.text for event in solver.events if isinstance(event, events.LogNote)]
    assert "The snapshot of iteration 8 has already been written" in notes
    again = solver_from(TESTED)
    again.restore("small_iter_8.solverstate")
    again.solve()
    assert results(again) == [each for each in results(solver) if each[1] == 8]


@pytest.mark.parametrize("request_", [SNAPSHOT, BOTH])
def test_a_snapshot_requested_in_the_last_test_has_the_positions_before_it(solver_from, request_):
    solver = solver_from(TESTED + "snapshot_after_train: false")
    solver.state.requested = at_call(14, request_)
    solver.solve()
    again = solver_from(TESTED)
    again.restore("small_iter_8.solverstate")
    again.solve()
    whole = solver_from(TESTED)
    whole.solve()
    assert results(again) == results(whole, 8)


def test_terminating_writes_a_snapshot_whatever_the_solver_sets(solver_from):
    solver = solver_from("snapshot_after_train: false")
    solver.state.requested = at_call(2, BOTH)
    solver.solve()
    assert solver.iteration == 3
    assert Path("small_iter_3.solverstate").exists()
    assert [event for event in solver.events if isinstance(event, events.RunFinished)] == [
        events.RunFinished(3, stopped_early=True)
    ]


def test_a_repeated_test_counts_once_for_patience(solver_from):
    more = 'test_iter: 1 test_interval: 1 netc_param { watch: "loss" better: "higher" patience: 2 }'
    solver = solver_from(more)
    solver.solve()
    stopped = solver.iteration
    best = solver.state.early_stopping.state()
    assert (best["misses"], best["tested"]) == (2, stopped)
    again = solver_from(more.replace("patience: 2", "patience: 3"))
    again.restore(f"small_iter_{stopped}.solverstate")
    again.tester.test_all()
    assert again.state.early_stopping.state() == best


def test_the_best_snapshot_repeats_its_test(solver_from):
    more = 'test_iter: 2 test_interval: 1 snapshot_after_train: false netc_param { watch: "loss" }'
    solver = solver_from(more)
    solver.solve()
    best = solver.state.early_stopping
    other = solver_from(more)
    other.restore("small_best.solverstate")
    other.solve()
    assert results(other) == results(solver, best.iteration)
