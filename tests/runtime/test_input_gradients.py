"""`Net.gradients`: of fed blobs, and of blobs that the net computes."""

from __future__ import annotations

import numpy as np
import pytest

import netc
from netc.diagnostics import NetcError, Source

TEXT = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "relu" }
layer { name: "other" type: "Power" bottom: "data" top: "other" power_param { scale: 2 } }
"""


@pytest.fixture
def net():
    return netc.load(Source("net", TEXT), seed=1)


def test_gradients_of_inputs_and_inner_blobs(net):
    generator = np.random.default_rng(1)
    x, start = generator.standard_normal((2, 3), np.float32), generator.standard_normal((2, 4), np.float32)
    found = net.gradients({"data": x}, {"relu": start}, ["data", "ip", "other"])
    weight = net.state_dict()["ip.weight"].numpy()
    inner = start * (net.run({"data": x}, ["ip"])["ip"] > 0)
    np.testing.assert_allclose(found["ip"], inner, rtol=1e-6)
    np.testing.assert_allclose(found["data"], inner @ weight, rtol=1e-5)
    assert np.array_equal(found["other"], np.zeros((2, 3)))  # `relu` does not depend on it


def test_several_upstream_gradients_are_added(net):
    x, ones = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    alone = net.gradients({"data": x}, {"ip": np.ones((2, 4))}, ["data"])["data"]
    both = net.gradients({"data": x}, {"ip": np.ones((2, 4)), "other": ones}, ["data"])["data"]
    np.testing.assert_allclose(both, alone + 2, rtol=1e-6)


def test_an_upstream_gradient_has_the_shape_of_its_blob(net):
    with pytest.raises(NetcError, match=r"the upstream gradient of `ip` has shape \[2,3\], expected \[2,4\]"):
        net.gradients({"data": np.ones((2, 3))}, {"ip": np.ones((2, 3))}, ["data"])
