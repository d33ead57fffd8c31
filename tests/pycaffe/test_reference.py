"""Every layer against what Caffe computed: reference/layers/NAME holds a net and its arrays of one or two passes."""

import os
from pathlib import Path

import numpy as np
import pytest

import netc.pycaffe as caffe

CASES = Path(__file__).parent.parent / "reference" / "layers"
FORKS = Path(__file__).parent.parent / "reference" / "forks"
"""Cases of layers that only forks have, each computed by its fork: FORK__NAME."""


@pytest.fixture(autouse=True)
def _on_the_cpu():
    caffe.set_mode_cpu()


def close(got, want, name):
    """float32's accuracy: 1e-4 of each value, and a little of the array's largest where sums cancel."""
    slack = 1e-5 + 1e-5 * float(np.abs(want).max(initial=0))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=slack, err_msg=name)
    assert got.shape == want.shape, name


class Case:
    """The arrays of one folder, and the net to hold against them."""

    def __init__(self, folder):
        with np.load(folder / "vectors.npz") as file:
            self.arrays = dict(file)
        phase = caffe.TRAIN if str(self.arrays["phase"]) == "TRAIN" else caffe.TEST
        self.net = caffe.Net(str(folder / "net.prototxt"), phase)

    def named(self, prefix):
        """The arrays of a kind, without its name: `in`, `out`, `grad2`, ..."""
        return {key[len(prefix) + 1 :]: array for key, array in self.arrays.items() if key.startswith(f"{prefix}/")}

    def parameter(self, key):
        layer, index = key.rsplit("/", 1)
        return self.net.params[layer][int(index)]

    def set_parameters(self):
        for key, array in self.named("param").items():
            self.parameter(key).data[...] = array
        self.net.clear_param_diffs()

    def forward(self, suffix):
        for name, array in self.named(f"in{suffix}").items():
            self.net.blobs[name].data[...] = array
        self.net.forward()
        for name, array in self.named(f"out{suffix}").items():
            close(self.net.blobs[name].data, array, f"blob {name}")
        for key, array in self.named(f"param_after{suffix}").items():
            close(self.parameter(key).data, array, f"parameter {key} after forward")

    def backward(self, suffix):
        blobs, parameters = self.named(f"grad{suffix}"), self.named(f"param_grad{suffix}")
        if not blobs and not parameters:
            return
        for name, array in self.named(f"top_grad{suffix}").items():
            self.net.blobs[name].diff[...] = array
        self.net.backward()
        for name, array in blobs.items():
            close(self.net.blobs[name].diff, array, f"gradient of {name}")
        for key, array in parameters.items():
            close(self.parameter(key).diff, array, f"gradient of parameter {key}")


@pytest.mark.parametrize("name", sorted(os.listdir(CASES)))
def test_layer(name):
    compare(Case(CASES / name))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in FORKS.glob("*/net.prototxt")))
def test_layer_of_a_fork(name):
    compare(Case(FORKS / name))


def compare(case):
    case.set_parameters()
    case.forward("")
    case.backward("")
    if case.named("out2"):  # gradients of parameters add up over both passes
        case.forward("2")
        case.backward("2")


def test_there_are_cases():
    assert len(os.listdir(CASES)) >= 114
