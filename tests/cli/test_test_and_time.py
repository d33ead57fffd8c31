from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import netc
from netc.cli import main
from netc.data.sources.opening import open_records
from netc.training.evaluation import open_net

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


def test_all_records_are_run_once(trained, capsys):
    assert main(["test", "net.prototxt", "--weights=snap_iter_6.caffemodel", "--all"]) == 0
    lines = messages(capsys)
    assert [line for line in lines if line.startswith("Batch")][-1].startswith("Batch 2, loss")
    found = {line.split(" = ")[0]: float(line.split(" ")[2]) for line in lines[-2:]}
    net = netc.load("net.prototxt", "snap_iter_6.caffemodel")
    records = open_records("db")
    with records.reading() as read:
        items = [read(i) for i in range(20)]
        data = np.stack([item.image for item in items]) / np.float32(256)
    expected = net.run(data=data, label=[item.label for item in items])
    assert found == {name: pytest.approx(value.item(), rel=1e-5) for name, value in expected.items()}
    # Three whole batches, as Caffe would run them, read four records twice.
    assert main(["test", "net.prototxt", "--weights=snap_iter_6.caffemodel", "--iterations=3"]) == 0
    assert float(messages(capsys)[-1].split(" ")[2]) != pytest.approx(expected["loss"].item(), rel=1e-5)


def test_a_net_that_does_not_accept_the_last_batch(trained, capsys):
    text = Path("net.prototxt").read_text()
    reshape = 'layer { name: "r" type: "Reshape" bottom: "ip" top: "r" reshape_param { shape { dim: 8 dim: 4 } } }'
    Path("net.prototxt").write_text(text + reshape)
    assert main(["test", "net.prototxt", "--weights=snap_iter_6.caffemodel", "--all"]) == 1
    error = capsys.readouterr().err
    assert "in layer `r`" in error
    assert "the last batch has 4 records; `--iterations=2` leaves it out" in error


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


DEPLOY = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
MEMORY = """
layer { name: "memory" type: "MemoryData" top: "data" top: "labels"
        memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 4 } }
layer { name: "two" type: "Reshape" bottom: "labels" top: "two" reshape_param { shape { dim: 2 dim: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "two" top: "loss" }
"""


@pytest.mark.parametrize("net", [DEPLOY, MEMORY])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_nets_that_a_program_feeds_are_timed_on_random_input(tmp_path, capsys, net, phase):
    (tmp_path / "net.prototxt").write_text(net)
    assert main(["time", str(tmp_path / "net.prototxt"), "--iterations=2", f"--phase={phase}"]) == 0
    times = re.findall(r"(\w+)\t(forward|backward): (\S+) ms", "\n".join(messages(capsys)))
    assert times[2][:2] == ("ip", "forward")
    assert float(times[2][2]) > 0
    assert float(times[3][2]) > 0 or net is DEPLOY  # without a loss no layer needs a gradient


def test_time_takes_the_shapes_of_inputs(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(DEPLOY.replace("shape { dim: 2 dim: 3 }", ""))
    assert main(["time", str(tmp_path / "net.prototxt")]) == 1
    assert "`--shape data=" in capsys.readouterr().err
    assert main(["time", str(tmp_path / "net.prototxt"), "--shape", "data=2,3", "--iterations=1"]) == 0


def test_an_input_of_unknown_shape(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "data" } layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'
    )
    assert main(["time", str(tmp_path / "net.prototxt")]) == 1
    assert "error[E203]: the shape of input `data` is unknown" in capsys.readouterr().err


def test_random_input(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(MEMORY)
    with open_net(path, random_input=True) as net:
        data, labels = net.feeds["memory"].next()
        assert data.shape == (2, 1, 2, 3)
        assert 0.1 < data.std() < 3
        assert labels.tolist() == [0, 0]
