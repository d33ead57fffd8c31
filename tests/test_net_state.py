"""The state of a net file is merged with the caller's, by every function and verb that takes a net."""

from __future__ import annotations

import json

import click
import numpy as np
import pytest

import netc
from netc import pycaffe
from netc.cli import main
from netc.cli import netc as verbs

IN_FILE = """name: "staged"
state { stage: "serve" level: 2 }
layer { name: "in" type: "Input" top: "data" include { stage: "serve" } input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "deep" type: "Power" bottom: "ip" top: "deep" include { min_level: 2 } power_param { scale: 2 } }
layer { name: "softmax" type: "Softmax" bottom: "deep" top: "prob" include { stage: "serve" not_stage: "raw" } }
"""
"""Without the file's stage the net has no input, without its level no `deep`."""

ALL_IN_ONE = """
layer { name: "in" type: "Input" top: "data" include { stage: "deploy" } input_param { shape { dim: 1 dim: 3 } } }
layer { name: "train" type: "DummyData" top: "data" top: "label" exclude { stage: "deploy" }
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Power" bottom: "ip" top: "half" include { phase: TRAIN } power_param { scale: 0.5 } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" include { stage: "deploy" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" exclude { stage: "deploy" } }
"""
"""One file for training and deployment, as DIGITS writes them."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "staged.prototxt").write_text(IN_FILE)
    (tmp_path / "one.prototxt").write_text(ALL_IN_ONE)
    return tmp_path


def layers(net):
    return [node.name for node in net.graph.nodes]


def test_load_keeps_the_state_of_the_file_and_adds_the_callers(folder):
    assert layers(netc.load("staged.prototxt")) == ["ip", "deep", "softmax"]
    assert layers(netc.load("staged.prototxt", stages=["raw"])) == ["ip", "deep"]
    with pytest.raises(netc.NetcError, match="deep"):  # a level of the caller replaces the file's
        netc.load("staged.prototxt", level=0)


def test_the_callers_phase_replaces_the_one_in_the_file(folder):
    (folder / "train.prototxt").write_text("state { phase: TRAIN }" + ALL_IN_ONE)
    assert "drop" not in layers(netc.load("train.prototxt", stages=["deploy"]))
    assert "drop" in layers(netc.load("one.prototxt", phase="train", stages=["deploy"]))
    assert "drop" not in [row.name for row in netc.summary("train.prototxt", phase="test").rows]


def test_pycaffe_keeps_the_state_of_the_file(folder):
    net = pycaffe.Net("staged.prototxt", pycaffe.TEST)
    assert list(net._layer_names) == ["in", "ip", "deep", "softmax"]
    assert list(pycaffe.Net("staged.prototxt", pycaffe.TEST, stages=["raw"])._layer_names) == ["in", "ip", "deep"]
    with pytest.raises(netc.NetcError):
        pycaffe.Net("staged.prototxt", pycaffe.TEST, level=1)


def test_the_same_net_is_exported(folder):
    done = netc.convert("staged.prototxt", to="caffe", output="out")
    assert {"data", "ip", "deep", "softmax"} <= set(layers(netc.load(done.files[0]))) | {"data"}
    assert list(netc.load(done.files[0]).run(data=np.ones((1, 3)))) == ["prob"]


def test_convert_writes_the_net_of_a_stage(folder, capsys):
    assert main(["convert", "one.prototxt", "--stage", "deploy", "--to", "caffe", "--output", "served"]) == 0
    assert layers(netc.load("served.prototxt")) == ["ip", "prob"]
    assert main(["convert", "one.prototxt", "--stage=deploy", "--phase=train", "--to=py", "--output=served"]) == 0
    assert "0.5" in (folder / "served.py").read_text()
    assert main(["verify", "one.prototxt", "served.prototxt", "--weights=served.caffemodel", "--stage=deploy"]) == 0


def test_verbs_use_the_state_of_the_file(folder, capsys):
    assert main(["convert", "staged.prototxt", "--to", "caffe", "--output", "out"]) == 0
    assert main(["weights", "out.caffemodel", "staged.prototxt", "--format", "json"]) == 0
    assert main(["surgery", "rename", "staged.prototxt", "--layer", "ip=fc", "--output", "renamed.prototxt"]) == 0
    assert layers(netc.load("renamed.prototxt")) == ["fc", "deep", "softmax"]
    capsys.readouterr()
    assert main(["summary", "staged.prototxt", "--format", "json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["in", "ip", "deep", "softmax"]


def test_a_verb_with_a_net_takes_phase_level_and_stage():
    context = click.Context(verbs)
    without = {"caffe", "data", "device_query", "draw", "explain", "fmt", "log", "plot", "run", "train", "upgrade"}
    found = {name: verbs.get_command(context, name) for name in verbs.list_commands(context)}
    nets = {name: command for name, command in found.items() if name not in without}
    nets |= {f"surgery {name}": command for name, command in nets.pop("surgery").commands.items()}
    for name, command in nets.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--phase", "--level", "--stage"} <= options, name


def test_stages_may_be_separated_by_commas(folder, capsys):
    assert main(["summary", "staged.prototxt", "--stage", "raw,other", "--stage", "third", "--format", "json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["in", "ip", "deep"]


def test_check_of_one_phase(folder, capsys):
    text = ALL_IN_ONE.replace('bottom: "ip" top: "half"', 'bottom: "gone" top: "half"')
    (folder / "bad.prototxt").write_text(text)
    assert main(["check", "bad.prototxt"]) == 1
    assert main(["check", "bad.prototxt", "--phase", "test"]) == 0
    assert main(["check", "bad.prototxt", "--phase", "TRAIN"]) == 1


def test_check_of_a_solver_adds_the_stage_to_the_train_net(folder, capsys):
    rules = """
    layer { name: "y" type: "Power" bottom: "ip" top: "y" exclude { stage: "extra" } }
    layer { name: "x" type: "Power" bottom: "y" top: "x" include { phase: TRAIN } }
    """
    (folder / "net.prototxt").write_text(ALL_IN_ONE + rules)
    (folder / "solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1\n')
    assert main(["check", "solver.prototxt"]) == 0
    assert main(["check", "solver.prototxt", "--stage", "extra"]) == 1


def test_the_level_of_a_train_net_is_kept(folder, capsys):
    (folder / "net.prototxt").write_text("state { level: 1 }" + ALL_IN_ONE.replace("phase: TRAIN", "min_level: 1"))
    (folder / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 display: 1 snapshot_after_train: false\n'
    )
    for options, kept in ((["--stage=x"], True), (["--level=0"], False)):
        assert main(["train", "solver.prototxt", *options]) == 0
        assert ("half = " in capsys.readouterr().err) == kept
