"""Mean: values per channel, and a mean image in a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc import diagnostics
from netc.ir.layer import Mode
from netc.layers.optical_flow.mean import Mean
from netc.schema import caffe
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, values
from tests.layers.harness import layer_from, run

REQUIRED = {"Mean": "operation: ADD value: 1"}
CASES = [
    Case(Mean("SUBTRACT", value=(1.0, 2.0), mean_scale=0.5), ((2, 4, 3, 2),), ((3, 2, 2, 5),), source=Source()),
    Case(Mean("ADD", value=(3.0,), output_scale=0.1), ((2, 4, 3, 2),), ((3, 2, 2, 5),), source=Source()),
]
NET = """
layer {{ name: "data" type: "Input" top: "a" top: "b" input_param {{ shape {{ dim: 2 dim: 4 dim: 3 dim: 5 }} }} }}
layer {{ name: "mean" type: "Mean" bottom: "a" bottom: "b" top: "c" top: "d" mean_param {{ {} }} }}
"""


@pytest.mark.parametrize("operation", ["ADD", "SUBTRACT"])
def test_values_are_repeated_over_the_channels(operation):
    layer = round_trip(
        "Mean", operation=operation, value=[1.0, -2.0], input_scale=0.5, mean_scale=3.0, output_scale=0.1
    )
    x = values(2, 4, 3, 5).numpy()
    mean = np.array([1.0, -2, 1, -2])[:, None, None] * (1 if operation == "ADD" else -1)
    np.testing.assert_allclose(run(layer, x)[0], 0.1 * (0.5 * x + 3 * mean), rtol=1e-6)


def test_an_image_in_a_file(tmp_path):
    mean = values(1, 2, 3, 5).numpy().astype(np.float32)
    proto = caffe.BlobProto(num=1, channels=2, height=3, width=5, data=mean.ravel())
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(proto.SerializeToString())
    net = netc.load(diagnostics.Source("net", NET.format(f'operation: SUBTRACT file: "{path}"')))
    a, b = values(2, 4, 3, 5).float(), values(2, 4, 3, 5, seed=5).float()
    found = net.run({"a": a.numpy(), "b": b.numpy()})
    np.testing.assert_allclose(found["c"], a.numpy() - np.tile(mean, (1, 2, 1, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["d"], b.numpy() - np.tile(mean, (1, 2, 1, 1)), rtol=1e-5, atol=1e-6)


def test_errors(tmp_path):
    with raises("E101", "`operation` is missing"):
        layer_from("Mean", value=[1.0])
    with raises("E101", "`value` and `file` are missing"):
        layer_from("Mean", operation="ADD")
    with raises("E102", "the number of channels, 3, is not a multiple of the 2 values"):
        Mean("ADD", value=(1.0, 2.0)).infer(((1, 3, 2, 2),), 1)
    with raises("E206", "was not read"):
        Mean("ADD", file="mean.binaryproto").forward((torch.ones(1, 3, 2, 2),), (), Mode(training=False, tops=1))


def test_contract():
    layer = Mean("ADD", value=(1.0, 2.0))
    resizes(layer, (values(2, 4, 3, 5),), (values(1, 2, 7, 3),))
