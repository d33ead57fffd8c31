"""Snapshots: what is in them, who can read them, and what is said of wrong ones."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from netc import weights as files
from netc.diagnostics import NetcError
from netc.schema import caffe
from netc.training.log import events
from netc.training.snapshots import snapshot_files as snapshot
from netc.training.snapshots.sidecar import sidecar_path
from tests.training.conftest import SOLVER

FORMATS = pytest.mark.parametrize("hdf5", [False, True], ids=["binary", "hdf5"])


def fault(solver, path, code):
    before = [blob.data.clone() for blob in solver.net.blobs]
    with pytest.raises(NetcError) as caught:
        solver.restore(str(path))
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert all(torch.equal(blob.data, old) for blob, old in zip(solver.net.blobs, before)), "the net was changed"
    assert solver.iteration == 0
    return found.message


def weights_of(solver):
    return [blob.data.clone() for blob in solver.net.blobs]


def test_the_files_contain_what_caffe_writes(solver_from):
    solver = solver_from()
    solver.step(2)
    assert solver.snapshot() == "small_iter_2.solverstate"
    net = caffe.NetParameter.FromString(Path("small_iter_2.caffemodel").read_bytes())
    assert net.name == "small"
    assert [layer.name for layer in net.layer] == ["digits", "conv", "bn", "drop", "ip", "loss"]
    conv = net.layer[1]
    assert (conv.type, list(conv.bottom), list(conv.top), conv.phase) == ("Convolution", ["data"], ["conv"], 0)
    assert [param.lr_mult for param in conv.param] == [1, 2]
    assert conv.convolution_param.num_output == 3
    assert [list(blob.shape.dim) for blob in conv.blobs] == [[3, 2, 3, 3], [3]]
    np.testing.assert_array_equal(conv.blobs[0].data, solver.net.blobs[0].data.flatten())
    assert [list(blob.shape.dim) for blob in net.layer[2].blobs] == [[3], [3], [1]], "BatchNorm's statistics"

    state = caffe.SolverState.FromString(Path("small_iter_2.solverstate").read_bytes())
    assert (state.iter, state.learned_net, state.current_step) == (2, "small_iter_2.caffemodel", 0)
    shapes = [[3, 2, 3, 3], [3], [3], [3], [1], [4, 27], [4]]
    assert [list(blob.shape.dim) for blob in state.history] == shapes, "one for each learnable blob, statistics too"
    for blob, kept in zip(state.history, solver.state.optimizer.history()):
        np.testing.assert_array_equal(blob.data, kept.flatten())


def test_the_solver_state_is_written_last(solver_from, monkeypatch):
    solver, order = solver_from(), []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(Path(b).name), replace(a, b)))
    solver.snapshot()
    names = ["small_iter_0.caffemodel", "small_iter_0.netc.json", "small_iter_0.solverstate"]
    assert order == [".small.run.json", *names, *names], "written to a temporary directory, then moved"


@FORMATS
@pytest.mark.parametrize("type_name", ["SGD", "Adam"])
def test_round_trip_is_bit_equal(solver_from, hdf5, type_name):
    more = f'type: "{type_name}" test_iter: 2 test_interval: 2 average_loss: 3 ' + "snapshot_format: HDF5" * hdf5
    solver = solver_from(more)
    solver.step(3)
    path = solver.snapshot()
    assert path == "small_iter_3.solverstate" + ".h5" * hdf5
    other = solver_from(more.replace("average_loss", "clip_gradients: 100 average_loss"))
    other.restore(path)
    assert other.iteration == 3
    for one, same in zip(
        weights_of(solver) + solver.state.optimizer.history(), weights_of(other) + other.state.optimizer.history()
    ):
        assert torch.equal(one, same)
    assert other.checkpoints.sidecar() == solver.checkpoints.sidecar()


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_run_ends_as_an_uninterrupted_one(solver_from, stop):
    """Dropout, random crops and mirrors, BatchNorm, test nets, and a data position inside an epoch."""
    more = "test_iter: 2 test_interval: 2 display: 1 average_loss: 3 snapshot_after_train: false"
    whole = solver_from(more)
    whole.solve()
    first = solver_from(more)
    first.step(stop)
    path = first.snapshot()
    torch.manual_seed(0)  # another process has other random numbers
    second = solver_from(more)
    second.restore(path)
    second.solve()
    assert all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(second)))
    for kind in (events.IterationDisplayed, events.TestFinished):
        wanted = [e for e in whole.events if isinstance(e, kind) and e.iteration >= stop]
        found = [e for e in second.events if isinstance(e, kind)]
        assert [(e.iteration, e.outputs, e.loss) for e in found] == [(e.iteration, e.outputs, e.loss) for e in wanted]
        assert wanted


def as_caffe(path):
    """Turn a snapshot into one of Caffe: without a sidecar and a commit mark."""
    sidecar_path(path).unlink()
    files.write_solverstate(path, replace(files.read_solverstate(path), commit=None))


def test_without_a_sidecar_the_data_position_is_computed(solver_from):
    more = "iter_size: 2 test_iter: 2 test_interval: 2"
    solver = solver_from(more)
    solver.step(3)
    path = solver.snapshot()
    as_caffe(path)
    other = solver_from(more)
    other.restore(path)
    assert other.state.train.feeds["digits"].source.position == 3 * 2 * 6
    assert other.state.tests[0].feeds["digits"].source.position == 2 * 2 * 6, "tests before iterations 0 and 2"
    assert not [e for e in other.events if isinstance(e, events.WarningIssued)]


def test_a_missing_sidecar_is_reported(solver_from):
    solver = solver_from()
    solver.step(1)
    path = solver.snapshot()
    sidecar_path(path).unlink()
    other = solver_from()
    other.restore(path)
    (warning,) = [e for e in other.events if isinstance(e, events.WarningIssued)]
    assert warning.text == "`small_iter_1.netc.json` is missing: data resume at the position that the iteration implies"
    assert other.state.train.feeds["digits"].source.position == 6


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"iteration": 7}, "E705", "is of iteration 7, the solver state of 1"),
        ({"model": "ab"}, "E705", "belongs to another weights file than `small_iter_1.caffemodel`"),
        ({"ema": 3}, "E705", "has changed since the snapshot was written, or belongs to another one"),
        ({"format": 12345}, "E706", "is damaged: `format` is 12345, expected 3 or 2"),
        (None, "E706", "is damaged: it is not JSON from line 1, column 2 on"),
    ],
)
def test_a_sidecar_of_another_snapshot_is_an_error(solver_from, change, code, message):
    solver = solver_from()
    solver.step(1)
    path = sidecar_path(solver.snapshot())
    content = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps({**content, **change}))
    other = solver_from()
    assert message in fault(other, "small_iter_1.solverstate", code)
    assert other.state.train.feeds["digits"].source.position == 0


def test_the_weights_are_found_next_to_the_state(solver_from, work):
    solver = solver_from()
    solver.step(1)
    solver.snapshot()
    (work / "moved").mkdir()
    for file in list(work.glob("small_iter_1*")):
        file.rename(work / "moved" / file.name)
    other = solver_from()
    other.restore("moved/small_iter_1.solverstate")
    assert torch.equal(other.net.blobs[0].data, solver.net.blobs[0].data)
    (warning,) = [e for e in other.events if isinstance(e, events.WarningIssued)]
    assert warning.text == "`small_iter_1.caffemodel` not found; using `moved/small_iter_1.caffemodel`"
    (work / "moved" / "small_iter_1.caffemodel").unlink()
    assert "does not exist" in fault(solver_from(), "moved/small_iter_1.solverstate", "E702")


def test_invalid_files(solver_from, work):
    solver = solver_from()
    solver.step(1)
    solver.snapshot()
    assert "is a Caffe weight file, not a Caffe solver state" in fault(solver_from(), "small_iter_1.caffemodel", "E402")
    fault(solver_from(), "nothing.solverstate", "E401")
    whole = Path("small_iter_1.solverstate").read_bytes()
    Path("cut.solverstate").write_bytes(whole[: len(whole) // 2])
    fault(solver_from(), "cut.solverstate", "E403")
    text = fault(solver_from('type: "Adam"'), "small_iter_1.solverstate", "E703")
    assert text == "`small_iter_1.solverstate` has a history of 7 blobs, expected 14: Adam with 7 blobs"
    net = work / "net.prototxt"
    net.write_text(net.read_text().replace("num_output: 4", "num_output: 5"))
    assert "history blob 5 has shape [4,27]" in fault(solver_from(), "small_iter_1.solverstate", "E703")
    net.write_text(net.read_text().replace("num_output: 5", "num_output: 4").replace('name: "ip"', 'name: "fc"'))
    assert "has no weights for `fc`" in fault(solver_from(), "small_iter_1.solverstate", "E703")


def test_gradients_are_written_on_request(solver_from):
    """What Caffe writes as the diff is what the last update subtracted."""
    solver = solver_from("snapshot_diff: true")
    before = solver.net.blobs[0].data.clone()
    solver.step(1)
    solver.snapshot()
    layer = files.read("small_iter_1.caffemodel").by_name["conv"]
    update = (before - solver.net.blobs[0].data).numpy()
    np.testing.assert_allclose(layer.blobs[0].diff, update, atol=1e-6)
    assert np.abs(update).max() > 1e-4


def test_shared_blobs(solver_from, work):
    """A binary file holds each layer's blobs, HDF5 the owner's alone, as in Caffe; the history has one of them."""
    share = 'param { name: "w" } param { name: "b" } inner_product_param { num_output: 3 }'
    (work / "net.prototxt").write_text(f"""
        layer {{ name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {{
          shape {{ dim: 2 dim: 3 }} data_filler {{ type: "gaussian" }} }} }}
        layer {{ name: "one" type: "InnerProduct" bottom: "a" top: "c" {share} }}
        layer {{ name: "two" type: "InnerProduct" bottom: "b" top: "d" {share} }}
        layer {{ name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "d" top: "loss" }}
    """)
    for more in ("", "snapshot_format: HDF5"):
        solver = solver_from(more)
        solver.step(1)
        path = solver.snapshot()
        assert len(files.read_solverstate(path).history) == 2
        other = solver_from(more)
        other.restore(path)
        assert other.checkpoints.sidecar() == solver.checkpoints.sidecar()
    assert len(files.read("small_iter_1.caffemodel").by_name["two"].blobs) == 2
    assert files.read("small_iter_1.caffemodel.h5").by_name["two"].blobs == ()


@pytest.mark.slow
def test_killed_while_snapshots_are_written(work):
    """Where there is a .solverstate its snapshot is whole, whenever the process dies."""
    (work / "solver.prototxt").write_text(SOLVER + "snapshot: 1")
    code = textwrap.dedent("""
        import sys
        from netc.training import Solver, read_settings
        solver = Solver(read_settings("solver.prototxt"))
        print("ready", flush=True)
        while True:
            solver.step(1)
            print("step", flush=True)
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(snapshot.__file__).parents[3])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        seen = [process.stdout.readline() for _ in range(6)]
        process.send_signal(signal.SIGKILL)
    assert seen == [b"ready\n"] + [b"step\n"] * 5
    states = list(work.glob("*.solverstate"))
    assert len(states) >= 5
    for state in states:
        found = files.read_solverstate(state)
        assert found.iter == int(re.search(r"\d+", state.name).group())
        assert len(files.read(found.learned_net).layers) == 6
        assert json.loads(sidecar_path(state).read_text())["iteration"] == found.iter


def test_a_full_disk_leaves_the_last_snapshot(solver_from, monkeypatch, work):
    solver = solver_from()
    solver.step(1)
    solver.snapshot()
    before = {file.name: file.read_bytes() for file in work.glob("small_iter_1*")}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NetcError, match="no space left") as caught:
        solver.snapshot()
    assert caught.value.diagnostics[0].code == "E408"
    assert {file.name: file.read_bytes() for file in work.glob("*small_iter_1*")} == before
