"""`netc deploy`: from a training net to the net for deployment."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

import netc
from netc.cli import main
from netc.diagnostics import Source

TRAINING = """
name: "two heads"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 5 mean_value: 1 mean_value: 2 mean_value: 3 mirror: true }
        data_param { source: "missing_lmdb" batch_size: 64 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 5 mean_value: 1 mean_value: 2 mean_value: 3 }
        data_param { source: "missing_lmdb" batch_size: 50 } }
layer { name: "both" type: "Slice" bottom: "label" top: "a" top: "b" slice_param { axis: 0 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        param { lr_mult: 2 } convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "many" type: "InnerProduct" bottom: "conv" top: "many" inner_product_param { num_output: 3 } }
layer { name: "fit" type: "InnerProduct" bottom: "conv" top: "fit" inner_product_param { num_output: 1 } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "tags" type: "DummyData" top: "tags" include { phase: TEST }
        dummy_data_param { shape { dim: 50 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "tagged" type: "SigmoidCrossEntropyLoss" bottom: "many" bottom: "tags" top: "tagged"
        include { phase: TEST } }
layer { name: "far" type: "EuclideanLoss" bottom: "fit" bottom: "label" top: "far" }
layer { name: "quiet" type: "Silence" bottom: "a" bottom: "b" }
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_val.prototxt").write_text(TRAINING)
    return tmp_path


def shown(capsys):
    return netc.load(Source("out", capsys.readouterr().out))


def test_losses_become_scores_and_labels_are_left_out(net, capsys):
    assert main(["deploy", "train_val.prototxt"]) == 0
    found = shown(capsys)
    assert found.inputs == ("data",)
    assert found.graph.shape("data") == (1, 3, 5, 5)
    assert [(node.name, node.layer.type) for node in found.graph.nodes] == [
        ("conv", "Convolution"),
        ("relu", "ReLU"),
        ("drop", "Dropout"),
        ("fc", "InnerProduct"),
        ("many", "InnerProduct"),
        ("fit", "InnerProduct"),
        ("prob", "Softmax"),
        ("prob_1", "Sigmoid"),
    ]
    scores = found.run(data=np.ones((1, 3, 5, 5)))
    assert sorted(scores) == ["fit", "prob", "prob_1"]
    assert scores["prob"].sum() == pytest.approx(1)


def test_trained_weights_fit(net, capsys):
    assert main(["convert", "train_val.prototxt", "--to=caffe", "--output=trained", "--shape", "data=50,3,5,5"]) == 0
    assert main(["deploy", "train_val.prototxt", "deploy.prototxt", "--batch", "2"]) == 0
    trained, found = (
        netc.load("train_val.prototxt", "trained.caffemodel"),
        netc.load("deploy.prototxt", "trained.caffemodel"),
    )
    data = np.random.default_rng(0).standard_normal((2, 3, 5, 5), dtype=np.float32)
    fc = trained.run({"data": data}, ["fc"])["fc"]
    np.testing.assert_allclose(found.run(data=data)["prob"], np.exp(fc) / np.exp(fc).sum(1, keepdims=True), rtol=1e-5)


def test_an_unknown_shape_is_requested(net, capsys):
    text = TRAINING.replace("crop_size: 5", "").replace('bottom: "conv" top: "fit"', 'bottom: "data" top: "fit"')
    (net / "train_val.prototxt").write_text(text)
    assert main(["deploy", "train_val.prototxt"]) == 1
    assert "--shape data=" in capsys.readouterr().err
    assert main(["deploy", "train_val.prototxt", "--shape", "data=7,3,6,6"]) == 0
    assert shown(capsys).graph.shape("data") == (7, 3, 6, 6)


def test_standard_input_and_a_phase(net, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TRAINING.encode())))
    assert main(["deploy", "-", "--phase=train", "--output=out.prototxt"]) == 0
    assert [node.name for node in netc.load("out.prototxt").graph.nodes][-1] == "prob"


def test_one_output_with_a_name(net, capsys):
    assert main(["deploy", "train_val.prototxt", "one.prototxt", "--output=two.prototxt"]) == 2
    assert "expected one output" in capsys.readouterr().err
    assert main(["deploy", "train_val.prototxt", "--output="]) == 1
    assert "the name is empty" in capsys.readouterr().err


def test_a_net_that_is_deployed_already(net, capsys):
    assert main(["deploy", "train_val.prototxt", "once.prototxt"]) == 0
    assert main(["deploy", "once.prototxt", "twice.prototxt"]) == 0
    assert main(["diff", "once.prototxt", "twice.prototxt"]) == 0


def test_a_net_of_data_and_losses(net, capsys):
    (net / "bare.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 } } }'
        'layer { name: "l" type: "EuclideanLoss" bottom: "a" bottom: "b" top: "l" }'
    )
    assert main(["deploy", "bare.prototxt"]) == 1
    assert "E801" in capsys.readouterr().err


def test_convert_with_scores_leaves_no_label(net, capsys):
    shape = ["--shape", "data=50,3,5,5"]
    assert main(["convert", "train_val.prototxt", "--scores", "--to=caffe", "--output=scored", *shape]) == 0
    assert netc.load("scored.prototxt").inputs == ("data",)


def test_torch_is_not_imported(net):
    code = "import sys; from netc.cli import main; main(['deploy', 'train_val.prototxt', 'x'])"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": sys.path[0]})
    assert done.stdout == "False\n"
