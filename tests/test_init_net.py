"""Init nets: the blobs that they fill are the weights of a predict net."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.cli import main
from netc.diagnostics import NetcError
from netc.init_net import read_weights
from netc.schema import caffe2
from netc.weights import Weights

PREDICT = """
    external_input: "data" external_input: "w" external_input: "b"
    op { type: "FC" input: "data" input: "w" input: "b" output: "y" }
    external_output: "y"
"""
W, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, -1], np.float32)


def given(name: str, array: np.ndarray) -> caffe2.OperatorDef:
    shape = caffe2.Argument(name="shape", ints=array.shape)
    values = caffe2.Argument(name="values", floats=array.ravel().tolist())
    return caffe2.OperatorDef(type="GivenTensorFill", output=[name], arg=[shape, values])


@pytest.fixture
def files(tmp_path):
    """A predict net as text, and its init net as text and binary, with a placeholder of the input."""
    placeholder = given("data", np.zeros((1, 1), np.float32))
    init = caffe2.NetDef(op=[given("w", W), given("b", B), placeholder])
    (tmp_path / "predict.pbtxt").write_text(PREDICT)
    (tmp_path / "init.pb").write_bytes(init.SerializeToString())
    (tmp_path / "init.pbtxt").write_text(str(init))
    return tmp_path


@pytest.mark.parametrize("init", ["init.pb", "init.pbtxt"])
def test_an_init_net_fills_the_parameters(files, init):
    net = netc.load(files / "predict.pbtxt", weights=files / init)
    assert net.inputs == ("data",)
    x = np.ones((4, 3), np.float32)
    assert np.array_equal(net.run({"data": x}, ["y"])["y"], x @ W.T + B)
    assert {name: tuple(p.shape) for name, p in net.named_parameters()} == {"w.weight": (2, 3), "b.weight": (2,)}


def test_without_an_init_net_the_parameters_are_inputs(files):
    assert netc.load(files / "predict.pbtxt").inputs == ("data", "w", "b")


def test_large_lists_of_a_binary_file_are_views_of_it(tmp_path):
    array = np.random.default_rng(1).standard_normal((300, 100), np.float32)
    (tmp_path / "init.pb").write_bytes(caffe2.NetDef(op=[given("w", array)]).SerializeToString())
    weights = read_weights(tmp_path / "init.pb")
    assert isinstance(weights, Weights)
    (layer,) = weights.layers
    found = layer.blobs[0].data
    assert np.array_equal(found, array)
    assert not found.flags.owndata
    assert not found.flags.writeable


def test_values_that_do_not_fill_the_shape_are_an_error(tmp_path):
    op = given("w", W)
    op.arg[0].ints[0] = 3
    (tmp_path / "init.pb").write_bytes(caffe2.NetDef(op=[op]).SerializeToString())
    with pytest.raises(NetcError, match="6 values for a blob of shape \\[3,3\\], expected 9") as caught:
        read_weights(tmp_path / "init.pb")
    assert caught.value.diagnostics[0].code == "E105"


def test_an_init_net_that_needs_an_input_is_an_error(tmp_path):
    (tmp_path / "init.pbtxt").write_text('op { type: "Relu" input: "x" output: "w" }')
    with pytest.raises(NetcError, match="input `x` is missing"):
        read_weights(tmp_path / "init.pbtxt")


def test_a_scope_is_removed_on_request(tmp_path):
    init = caffe2.NetDef(op=[given("gpu_0/w", W), given("gpu_0/b", B)])
    (tmp_path / "init.pb").write_bytes(init.SerializeToString())
    scoped = PREDICT.replace('"w"', '"gpu_0/w"').replace('"b"', '"gpu_0/b"').replace('"y"', '"gpu_0/y"')
    (tmp_path / "predict.pbtxt").write_text(scoped)
    assert netc.load(tmp_path / "predict.pbtxt", weights=tmp_path / "init.pb").outputs == ("gpu_0/y",)
    net = netc.load(tmp_path / "predict.pbtxt", weights=tmp_path / "init.pb", scope="gpu_0/")
    x = np.ones((4, 3), np.float32)
    assert np.array_equal(net.run({"data": x})["y"], x @ W.T + B)
    options = ["--weights", str(tmp_path / "init.pb"), "--shape", "data=4,3", "--scope", "gpu_0/"]
    target = tmp_path / "out.prototxt"
    assert main(["convert", str(tmp_path / "predict.pbtxt"), *options, "--to", "caffe", "--output", str(target)]) == 0
    found = netc.load(target, weights=target.with_suffix(".caffemodel")).run({"data": x})
    assert np.array_equal(found["y"], x @ W.T + B)
