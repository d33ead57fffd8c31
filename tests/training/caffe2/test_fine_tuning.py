"""Fine-tuning a Caffe2 net with a solver: the same numbers as the same net in a prototxt."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc import weights
from netc.diagnostics import NetcError
from netc.init_net import read_weights
from netc.training.caffe2.fine_tuning import fine_tune
from netc.weights import BlobArray, LayerBlobs, Weights
from netc.weights.init_net_file import write_init_net

from .nets import BACKWARD, FORWARD

RNG = np.random.default_rng(11)
W, B, MEAN = (
    RNG.normal(size=(3, 4)).astype(np.float32),
    np.array([0.1, 0.2, 0.3], np.float32),
    np.full(3, 0.5, np.float32),
)
PREDICT = """
op { input: "data" input: "fc_w" input: "fc_b" output: "fc" type: "FC" }
op { input: "fc" output: "pred" type: "Sigmoid" }
external_input: "data" external_input: "fc_w" external_input: "fc_b" external_output: "pred"
"""
DATA = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 5 dim: 4 } shape { dim: 5 }
  data_filler { type: "constant" value: 0.7 } data_filler { type: "constant" value: 2 } } }
"""
PLACE = 'layer { name: "pred" type: "Input" top: "pred" }'
SAME = """
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "pred" type: "Sigmoid" bottom: "fc" top: "pred" }
"""
LOSS = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "pred" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "pred" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.5 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 max_iter: 6 display: 0
test_iter: 1 test_interval: 3 snapshot_prefix: "snap" random_seed: 1 solver_mode: CPU
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predict_net.pbtxt").write_text(PREDICT)
    (tmp_path / "net.prototxt").write_text(DATA + PLACE + LOSS)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    write_init_net(tmp_path / "init_net.pb", {"fc_w": W, "fc_b": B, "data": np.zeros((1, 1), np.float32)})
    return tmp_path


def blobs(path) -> dict[str, np.ndarray]:
    found = read_weights(path)
    assert isinstance(found, Weights)
    return {layer.name: layer.blobs[0].data for layer in found.layers}


def test_the_numbers_are_those_of_a_prototxt(folder):
    run = fine_tune("predict_net.pbtxt", "solver.prototxt", "init_net.pb", output="trained.pb")
    assert run.test()[0].blob == "accuracy"
    (folder / "net.prototxt").write_text(DATA + SAME + LOSS)
    start = Weights((LayerBlobs("fc", "InnerProduct", (BlobArray(W), BlobArray(B))),))
    weights.write_caffemodel(folder / "start.caffemodel", start)
    netc.train("solver.prototxt", weights="start.caffemodel")
    same = weights.read_any(folder / "snap_iter_6.caffemodel")
    assert isinstance(same, Weights)
    expected = dict(same.arrays)["fc"]
    found = blobs("trained.pb")
    assert list(found) == ["fc_w", "fc_b", "data"]
    np.testing.assert_allclose(found["fc_w"], expected[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["fc_b"], expected[1], rtol=1e-5, atol=1e-7)
    assert not np.allclose(found["fc_w"], W)
    assert found["data"].shape == (1, 1)


def test_a_snapshot_has_the_weights_of_the_net(folder):
    fine_tune("predict_net.pbtxt", "solver.prototxt", "init_net.pb", output="trained.pb")
    x = {"data": np.ones((2, 4), np.float32)}
    trained = netc.load("predict_net.pbtxt", weights="trained.pb").run(x)
    snapshot = netc.load("predict_net.pbtxt", weights="snap_iter_6.caffemodel").run(x)
    np.testing.assert_array_equal(trained["pred"], snapshot["pred"])


def test_means_and_variances_are_not_learned(folder):
    norm = 'op { input: "fc" input: "s" input: "b" input: "m" input: "v" output: "pred" type: "SpatialBN" arg { name: "is_test" i: 1 } }'  # noqa: E501
    (folder / "predict_net.pbtxt").write_text(PREDICT.splitlines()[1] + norm)
    values = {"s": B + 1, "b": B, "m": MEAN, "v": MEAN}
    write_init_net(folder / "init_net.pb", {"fc_w": W, "fc_b": B, **values})
    fine_tune("predict_net.pbtxt", "solver.prototxt", "init_net.pb", output="trained.pb")
    found = blobs("trained.pb")
    for name in ("m", "v"):
        np.testing.assert_array_equal(found[name], MEAN)
    assert not np.allclose(found["s"], B + 1)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("net.prototxt", DATA, "reads no output of the Caffe2 net"),
        ("net.prototxt", (DATA + PLACE + LOSS).replace('"data"', '"x"'), "reads `data`, which neither"),
        ("predict_net.pbtxt", FORWARD + BACKWARD, "computes its own gradients"),
        ("predict_net.pbtxt", PREDICT.replace("Sigmoid", "Sigmoide"), "unknown operator `Sigmoide`"),
        ("predict_net.pbtxt", PREDICT.replace('output: "pred"', 'output: "prod"', 1), "external output `pred`"),
    ],
)
def test_what_does_not_fit(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(NetcError, match=message):
        fine_tune("predict_net.pbtxt", "solver.prototxt", "init_net.pb")
