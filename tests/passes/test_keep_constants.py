"""Constant tops of DummyData layers are part of the net; random ones, and those that are fed, are inputs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

import netc
from netc.diagnostics import Source

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fill" type: "DummyData" top: "a" top: "r" top: "b" dummy_data_param {
        shape { dim: 2 dim: 3 } shape { dim: 5 } shape { dim: 3 }
        data_filler { type: "constant" value: 0.5 } data_filler { type: "gaussian" } data_filler { value: -2 } } }
layer { name: "zero" type: "DummyData" top: "z" dummy_data_param { num: 2 channels: 3 height: 1 width: 1 } }
layer { name: "product" type: "Eltwise" bottom: "x" bottom: "a" top: "p" eltwise_param { operation: PROD } }
layer { name: "bias" type: "Bias" bottom: "p" bottom: "b" top: "y" bias_param { axis: 1 } }
layer { name: "shift" type: "Power" bottom: "z" top: "w" power_param { shift: 4 } }
"""
LAYER = 'layer { name: "fc" type: "InnerProduct" bottom: "y" top: "fc" inner_product_param { num_output: 2 } }'
GIVEN = np.array([[2, 4, 6], [-8, 0, 1]], np.float32)
EXPECTED = [[-1, 0, 1], [-6, -2, -1.5]]


def load(**settings):
    return netc.load(Source("net.prototxt", NET), **settings)


def test_the_net_computes_constant_tops():
    net = load()
    assert net.inputs == ("x", "r")
    assert net.run(x=GIVEN, r=np.zeros(5))["y"].tolist() == EXPECTED
    assert net.run({}, ["w"])["w"].tolist() == [[[[4]], [[4]], [[4]]]] * 2
    assert not net.state_dict()


def test_constants_have_the_precision_and_device_of_the_net():
    net = load().double()
    assert net.evaluate({}, ["a"])["a"].dtype == torch.float64
    meta = load().to("meta")
    assert meta.evaluate({}, ["a"])["a"].device.type == "meta"


def test_a_top_may_be_changed_without_changing_the_constant():
    net = load()
    net.evaluate({}, ["a"])["a"].fill_(7)
    assert net.run({}, ["a"])["a"].tolist() == [[0.5] * 3] * 2


def test_blobs_with_a_given_shape_are_inputs():
    net = load(shapes={"b": (3,), "x": (2, 3)})
    assert net.inputs == ("x", "r", "b")
    assert net.run({"x": GIVEN, "b": np.array([1, 2, 3])}, ["y"])["y"].tolist() == [[2, 4, 6], [-3, 2, 3.5]]


def test_constants_can_be_fed_by_evaluate():
    assert load().run({"x": GIVEN, "a": np.ones((2, 3))}, ["y"])["y"].tolist() == (GIVEN - 2).tolist()


def test_a_call_with_a_constant_names_the_ways_to_feed_it():
    for given in ({"a": torch.ones(2, 3)}, {"wrong": torch.ones(2, 3)}):
        with pytest.raises(netc.NetcError, match="unknown input") as caught:
            load()(**given)
        assert caught.value.diagnostics[0].help.startswith("`evaluate` feeds any blob")


def test_a_net_in_a_weights_file_keeps_its_constants(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET + LAYER)
    files = netc.convert(tmp_path / "net.prototxt", to="caffe", output=tmp_path / "out").files
    weights = next(path for path in files if path.suffix == ".caffemodel")
    made = netc.convert(weights, to="onnx", output=tmp_path / "out.onnx").files[0]
    assert [one.name for one in onnxruntime.InferenceSession(str(made)).get_inputs()] == ["x", "r"]


@pytest.fixture
def model(tmp_path):
    """`model(to)`: the path of the exported net."""
    (tmp_path / "net.prototxt").write_text(NET)

    def make(to):
        return str(netc.convert(tmp_path / "net.prototxt", to=to, output=tmp_path / f"out.{to}").files[0])

    return make


def test_onnx_has_the_constants(model):
    session = onnxruntime.InferenceSession(model("onnx"))
    assert [one.name for one in session.get_inputs()] == ["x", "r"]
    found = session.run(["y", "w"], {"x": GIVEN, "r": np.zeros(5, np.float32)})
    assert found[0].tolist() == EXPECTED
    assert found[1].ravel().tolist() == [4] * 6


def test_python_has_the_constants(model, tmp_path):
    scope = {"__file__": model("py")}
    exec((tmp_path / "out.py").read_text(), scope)
    found = scope["load"]()(torch.from_numpy(GIVEN), torch.zeros(5))
    assert found["y"].tolist() == EXPECTED
    assert found["w"].tolist() == [[[[4]], [[4]], [[4]]]] * 2


def test_pt2_has_the_constants(model):
    found = torch.export.load(model("pt2")).module()(torch.from_numpy(GIVEN), torch.zeros(5))
    assert found["y"].tolist() == EXPECTED


def test_caffe_has_the_constants(model):
    path = model("caffe")
    net = netc.load(path)
    assert net.inputs == ("x", "r")
    assert net.run(x=GIVEN, r=np.zeros(5))["y"].tolist() == EXPECTED
