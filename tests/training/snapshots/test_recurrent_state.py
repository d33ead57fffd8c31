"""The state of recurrent layers is part of a snapshot: a resumed run ends in equal bits."""

import json

import pytest

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.snapshots.sidecar import sidecar_path
from netc.training.solver.signals import Request

NET = """
layer { name: "d" type: "DummyData" top: "x" top: "cont" top: "y" dummy_data_param {
  shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } shape { dim: 3 dim: 2 dim: 5 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } data_filler { type: "gaussian" } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 5
  weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "constant" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "h" bottom: "y" top: "loss" }
"""
MORE = "test_iter: 3 test_interval: 2 "


@pytest.fixture(autouse=True)
def recurrent(work):
    """A net that carries its state from batch to batch."""
    (work / "net.prototxt").write_text(NET)


def results_of(solver, since):
    heard = [event for event in solver.events if isinstance(event, events.TestFinished)]
    return [(event.iteration, event.outputs) for event in heard if event.iteration >= since]


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_ends_in_equal_bits(solver_from, stop):
    whole, first, second = (solver_from(MORE) for _ in range(3))
    whole.solve()
    first.step(stop)
    second.restore(first.snapshot())
    second.solve()
    assert all(one.data.equal(same.data) for one, same in zip(whole.net.blobs, second.net.blobs))
    assert results_of(second, stop) == results_of(whole, stop)


def test_an_interrupted_test_leaves_the_state_before_it(solver_from):
    whole, solver = solver_from(MORE), solver_from(MORE)
    whole.solve()
    calls = iter(range(1000))
    solver.state.requested = lambda: Request.STOP if next(calls) == 7 else Request.NONE
    solver.solve()
    assert solver.iteration == 2
    solver.events.clear()
    solver.solve()
    assert results_of(solver, 0) == results_of(whole, 2)


def test_a_state_of_another_size_is_reported(solver_from, work):
    solver = solver_from()
    solver.step(1)
    path = solver.snapshot()
    (work / "net.prototxt").write_text(NET.replace("dim: 3 dim: 2", "dim: 3 dim: 7"))
    other = solver_from()
    other.restore(path)
    warned = [event.text for event in other.events if isinstance(event, events.WarningIssued)]
    assert "the snapshot's state `lstm.h.train` does not fit the net: it starts from zeros" in warned
    other.step(1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"shape": [2, 5], "data": "AAAA"}, "expected 40 bytes, got 3"),
        ({"shape": [2, "5"], "data": "AAAA"}, '`recurrent[0][0].lstm.h.train.shape[1]` is "5", expected an integer'),
        (3, "`recurrent[0][0].lstm.h.train` is 3, expected an object"),
    ],
)
def test_a_damaged_state_is_named(solver_from, value, message):
    solver = solver_from()
    solver.step(1)
    path = sidecar_path(solver.snapshot())
    content = json.loads(path.read_text())
    content["recurrent"][0][0]["lstm.h.train"] = value
    path.write_text(json.dumps(content))
    with pytest.raises(NetcError) as caught:
        solver_from().restore("small_iter_1.solverstate")
    assert caught.value.diagnostics[0].code == "E706"
    assert message in caught.value.diagnostics[0].message
