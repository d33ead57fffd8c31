"""The first net of an introduction to Caffe2: forward, gradients and training, against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import netc
from netc.init_net import read_weights

FOLDER = Path(__file__).parents[2] / "models" / "caffe2_mlp"
RNG = np.random.default_rng(5)
DATA = RNG.random((16, 100)).astype(np.float32)
LABEL = RNG.integers(10, size=16).astype(np.int32)
BATCH = {"data": DATA, "label": LABEL}


def expected(w: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """The loss, the softmax, and the gradients of both parameters, in float64."""
    prediction = 1 / (1 + np.exp(-(DATA.astype(np.float64) @ w.T + b)))
    powers = np.exp(prediction)
    softmax = powers / powers.sum(1, keepdims=True)
    loss = -np.log(softmax[np.arange(16), LABEL]).mean()
    gradient = (softmax - np.eye(10)[LABEL]) / 16 * prediction * (1 - prediction)
    return loss, softmax, gradient.T @ DATA, gradient.sum(0)


def test_the_forward_pass():
    net = netc.load(FOLDER / "gradient_net.pbtxt", weights=FOLDER / "init_net.pbtxt", seed=1)
    assert net.inputs == ("data", "label")
    found = net.run(BATCH, ["softmax", "loss", "fc_w", "fc_b"])
    loss, softmax, _, _ = expected(found["fc_w"], found["fc_b"])
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(found["softmax"], softmax, rtol=1e-5)


def test_the_gradients():
    trainer = netc.load_trainer(FOLDER / "gradient_net.pbtxt", FOLDER / "init_net.pbtxt", seed=1)
    before = trainer.state()
    loss, _, w, b = expected(before["fc_w"], before["fc_b"])
    assert trainer.step(BATCH) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(trainer.blob("fc_w_grad"), w, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(trainer.blob("fc_b_grad"), b, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(trainer.state()["fc_w"], before["fc_w"])


def test_training():
    trainer = netc.load_trainer(FOLDER / "train_net.pbtxt", FOLDER / "init_net.pbtxt", seed=1)
    state = trainer.state()
    w, b = (state[name].astype(np.float64) for name in ("fc_w", "fc_b"))
    for iteration in range(1, 121):
        loss, _, w_gradient, b_gradient = expected(w, b)
        assert trainer.step(BATCH) == pytest.approx(loss, rel=1e-4)
        rate = 0.1 * 0.5 ** (iteration // 100)
        w, b = w - rate * w_gradient, b - rate * b_gradient
    np.testing.assert_allclose(trainer.state()["fc_w"], w, rtol=1e-3, atol=1e-5)
    assert trainer.state()["iteration"].tolist() == [120]
    assert loss < expected(state["fc_w"], state["fc_b"])[0] - 0.05


@pytest.mark.parametrize("name", ["init_net", "gradient_net", "train_net"])
def test_the_files_have_no_errors(name):
    assert not netc.check(FOLDER / f"{name}.pbtxt")


def test_fillers_are_drawn_with_the_seed():
    one, two, other = (read_weights(FOLDER / "init_net.pbtxt", seed).layers[0].blobs[0].data for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert np.abs(one).max() <= np.sqrt(3 / 100)
