from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from netc import weights
from netc.cli import main

from .solver_files import NET, SOLVER, write_solver


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_solver(tmp_path)


PREFIX = r"^[IW]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+(\.cpp)?:\d+\] "


def messages(capsys) -> list[str]:
    """The log without its prefixes; each line that does not continue another must have one."""
    return [re.sub(PREFIX, "", line) for line in capsys.readouterr().err.splitlines() if re.match(PREFIX, line)]


@pytest.mark.parametrize(
    "arguments",
    [["solver.prototxt"], ["--solver=solver.prototxt"], ["-solver", "solver.prototxt"], ["-solver=solver.prototxt"]],
)
def test_spellings_of_the_solver(solver, capsys, arguments):
    assert main(["train", *arguments]) == 0
    log = messages(capsys)
    assert log[-1] == "Optimization Done."
    assert "Solving tiny" in log
    assert "Learning Rate Policy: fixed" in log


def test_the_log_matches_caffe(solver, capsys):
    assert main(["train", "solver.prototxt"]) == 0
    log = messages(capsys)
    kept = [re.sub(r"-?\d+\.\d+(e-\d+)?|(?<== )\d+(?=$| \()", "N", line) for line in log]
    for line in (
        "Iteration 2 (N iter/s, Ns/2 iters), loss = N",
        "    Train net output #0: loss = N (* 1 = N loss)",
        "Iteration 2, lr = N",
        "Iteration 5, Testing net (#0)",
        "    Test net output #0: accuracy = N",
        "    Test net output #1: loss = N (* 1 = N loss)",
        "Snapshotting to binary proto file snap_iter_4.caffemodel",
        "Snapshotting solver state to binary proto file snap_iter_4.solverstate",
        "Iteration 6, loss = N",
        "Optimization Done.",
    ):
        assert line in kept, "\n".join(kept)


def test_iterations_override_max_iter(solver, capsys, tmp_path):
    assert main(["train", "solver.prototxt", "--iterations", "4"]) == 0
    assert (tmp_path / "snap_iter_4.solverstate").exists()
    assert not (tmp_path / "snap_iter_6.solverstate").exists()


def test_a_resumed_run_ends_with_the_same_weights(solver, capsys, tmp_path):
    assert main(["train", "solver.prototxt"]) == 0
    whole = (tmp_path / "snap_iter_6.caffemodel").read_bytes()
    assert main(["train", "solver.prototxt", "--snapshot=snap_iter_4.solverstate"]) == 0
    assert (tmp_path / "snap_iter_6.caffemodel").read_bytes() == whole
    assert "Restoring previous solver status from snap_iter_4.solverstate" in messages(capsys)


def test_weights_are_copied_by_name_and_reported(solver, capsys, tmp_path):
    assert main(["train", "solver.prototxt"]) == 0
    (tmp_path / "net.prototxt").write_text(NET.replace('name: "ip"', 'name: "other"'))
    capsys.readouterr()
    assert main(["train", "solver.prototxt", "--weights", "snap_iter_6.caffemodel", "--iterations=1"]) == 0
    log = messages(capsys)
    assert "Finetuning from snap_iter_6.caffemodel" in log
    assert "Ignoring source layer ip" in log
    assert "No weights for layer other in snap_iter_6.caffemodel" in log


def fails(capsys, arguments, code, *texts):
    capsys.readouterr()
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert f"error[{code}]" in shown, shown
    for text in texts:
        assert text in shown, shown


def test_a_missing_solver(solver, capsys):
    fails(capsys, ["train", "absent.prototxt"], "E001", "absent.prototxt", "no such file")


def test_a_missing_net(solver, capsys):
    solver.write_text(SOLVER.replace("net.prototxt", "gone.prototxt"))
    fails(capsys, ["train", "solver.prototxt"], "E001", "gone.prototxt")


def test_a_file_that_is_not_an_lmdb(solver, capsys, tmp_path):
    (tmp_path / "db" / "data.mdb").write_bytes(b"not a database" * 1000)
    fails(capsys, ["train", "solver.prototxt"], "E501", "`db`", "net.prototxt:4", "in layer `digits`")


def test_a_label_out_of_range(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_solver(tmp_path, labels=5)
    fails(capsys, ["train", "solver.prototxt"], "E301", "label outside 0 to 3: 4", "in layer `loss`")


def test_a_net_without_data(solver, capsys, tmp_path):
    feed = 'layer { name: "digits" type: "Input" top: "data" top: "label" input_param {'
    shapes = "shape { dim: 8 dim: 1 dim: 5 dim: 6 } shape { dim: 8 } } }"
    (tmp_path / "net.prototxt").write_text("\n".join(["", feed + shapes, *NET.splitlines()[4:]]))
    fails(capsys, ["train", "solver.prototxt"], "E607", "`digits` has no data")


def test_a_nan_loss(solver, capsys):
    solver.write_text(SOLVER.replace("base_lr: 0.1", "base_lr: 1e38"))
    fails(capsys, ["train", "solver.prototxt"], "E701", "iteration", "`loss`")


@pytest.mark.parametrize(("content", "code"), [(b"", "E401"), (b"\n\x04tiny\xa2\x06\xff\xff\xff\x7f", "E403")])
def test_empty_or_truncated_weights(solver, capsys, tmp_path, content, code):
    (tmp_path / "bad.caffemodel").write_bytes(content)
    fails(capsys, ["train", "solver.prototxt", "--weights=bad.caffemodel"], code, "bad.caffemodel")


def test_weights_passed_as_a_snapshot(solver, capsys):
    assert main(["train", "solver.prototxt"]) == 0
    fails(capsys, ["train", "solver.prototxt", "--snapshot=snap_iter_4.caffemodel"], "E402", "snap_iter_4.caffemodel")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_unknown_gpu(solver, capsys):
    fails(capsys, ["train", "solver.prototxt", "--gpu=0"], "E606", "no GPU")


def test_one_warning_for_a_missing_gpu(solver, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    solver.write_text(SOLVER.replace("solver_mode: CPU", ""))
    assert main(["train", "solver.prototxt", "--iterations=1"]) == 0
    said = [line for line in messages(capsys) if "CPU" in line]
    assert len([line for line in said if "none was found" in line]) == 1


@pytest.mark.parametrize("arguments", [[], ["a", "--solver=b"], ["a", "--snapshot=s", "--weights=w"], ["a", "--nope"]])
def test_wrong_usage_is_status_2(arguments, capsys):
    assert main(["train", *arguments]) == 2


def test_a_full_disk_leaves_the_last_snapshot(solver, capsys, tmp_path, monkeypatch):
    assert main(["train", "solver.prototxt", "--iterations", "4"]) == 0
    before = {p.name: p.read_bytes() for p in tmp_path.glob("snap_iter_4*")}

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    fails(capsys, ["train", "solver.prototxt"], "E408", "no space left on device")
    assert {p.name: p.read_bytes() for p in tmp_path.glob("snap_iter_4*")} == before
    kept = {"net.prototxt", "solver.prototxt", "db", ".snap.run.json", *before}
    assert {p.name for p in tmp_path.iterdir()} == kept


@pytest.mark.slow
def test_a_killed_run_leaves_complete_snapshots(solver, tmp_path):
    solver.write_text(SOLVER.replace("max_iter: 6 snapshot: 4", "max_iter: 100000 snapshot: 1"))
    command = [sys.executable, "-m", "netc", "train", "solver.prototxt"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.solverstate"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    states = list(tmp_path.glob("*.solverstate"))
    assert len(states) >= 5
    for state in states:  # each is the commit mark of a whole snapshot
        assert weights.read_solverstate(state).learned_net == state.with_suffix(".caffemodel").name
        assert weights.read(state.with_suffix(".caffemodel")).layers


@pytest.mark.slow
def test_the_compiler_is_not_imported(tmp_path):
    write_solver(tmp_path)
    code = "import sys; from netc.cli import main; main(['train', 'solver.prototxt'])"
    code += "; print('torch._dynamo' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n"
