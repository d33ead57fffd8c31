from __future__ import annotations

import re

import pytest

from netc.cli import main

from .solver_files import write_solver
from .test_train import messages


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_solver(tmp_path)
    assert main(["train", "solver.prototxt"]) == 0
    capsys.readouterr()


def test_the_log_of_a_score_matches_caffe(trained, capsys):
    assert main(["test", "-model", "net.prototxt", "-weights", "snap_iter_6.caffemodel", "-iterations", "2"]) == 0
    lines = messages(capsys)
    assert lines[0] == "Use CPU."
    assert lines[1] == "Running for 2 iterations."
    assert [line.split(" = ")[0] for line in lines[2:6]] == [
        "Batch 0, accuracy",
        "Batch 0, loss",
        "Batch 1, accuracy",
        "Batch 1, loss",
    ]
    losses = [float(line.split(" = ")[1]) for line in (lines[3], lines[5])]
    assert float(lines[6].removeprefix("Loss: ")) == pytest.approx(sum(losses) / 2, rel=1e-4)
    assert lines[7].startswith("accuracy = ")
    assert re.fullmatch(r"loss = \S+ \(\* 1 = \S+ loss\)", lines[8])


def test_time_logs_each_layer_and_the_sums(trained, capsys):
    assert main(["time", "--model=net.prototxt", "--iterations=3"]) == 0
    lines = messages(capsys)
    assert lines.count("*** Benchmark begins ***") == 1
    for layer in ("digits", "ip", "loss"):
        for way in ("forward", "backward"):
            assert any(re.fullmatch(rf" *{layer}\t{way}: \S+ ms\.", line) for line in lines)
    sums = [line for line in lines if re.match(r"(Average (Forward|Backward|Forward-Backward)|Total Time)", line)]
    assert len(sums) == 4
    assert len([line for line in lines if line.startswith("Iteration: ")]) == 3


@pytest.mark.parametrize("verb", ["test", "time"])
def test_wrong_usage_is_status_2(verb, capsys):
    assert main([verb]) == 2
    assert main([verb, "a", "--model=b", "--weights=c"]) == 2
