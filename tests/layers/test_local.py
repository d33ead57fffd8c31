import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.local import Local
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, v1_name, values
from tests.layers.harness import layer_of, module_of

REQUIRED = {"Local": "num_output: 2 kernel_size: 1"}
CASES = [
    Case(Local(3, 3, stride=2, pad=1), ((2, 2, 5, 6),), ((3, 2, 5, 6),), source=Source()),
    Case(Local(2, 2, bias_term=False), ((2, 2, 4, 5),), ((1, 2, 4, 5),), source=Source()),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(3, 1, 0), (2, 2, 1), (1, 3, 0)])
def test_forward(bias, kernel, stride, pad):
    x = values(2, 3, 5, 6)
    module = module_of(Local(4, kernel, stride, pad, bias), (x.shape,)).double()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    weight = module.weight.detach().numpy()
    top = module(x).detach().numpy()
    assert top.shape[2:] == tuple((extent + 2 * pad - kernel) // stride + 1 for extent in (5, 6))
    for place, (i, j) in enumerate(np.ndindex(top.shape[2:])):
        window = padded[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel].reshape(2, -1)
        for m in range(4):
            expected = window @ weight[m, 0, :, place] + (module.bias[0, 0, m, place].item() if bias else 0)
            np.testing.assert_allclose(top[:, m, i, j], expected, rtol=1e-9)


def test_files_and_shapes():
    layer = round_trip("Local", num_output=3, kernel_size=2, stride=2, pad=1, bias_term=False)
    assert layer == Local(3, 2, 2, 1, bias_term=False)
    assert v1_name("Local") == "LOCAL"
    assert repr(layer.infer(((UNKNOWN, 2, UNKNOWN, 5),), 1)) == "((?, 3, ?, 3),)"
    assert layer.cost(((2, 2, 4, 5),), ()).macs == 2 * 3 * 8 * 9
    with raises("E102", r"expected a bottom with 4 axes, got \[2,3\]"):
        layer.infer(((2, 3),), 1)
    with raises("E102", "kernel of 9 does not fit an input of 7"):
        Local(2, 9, pad=4).infer(((1, 2, 20, 7),), 1)
    with raises("E102", r"does not fit weights \[2,1,2,4\]"):
        module_of(Local(2, 1), ((1, 2, 2, 2),))(torch.ones(1, 2, 2, 3))


@pytest.mark.parametrize("name", ["num_output", "kernel_size", "stride"])
def test_parameters(name):
    with raises("E103", f"`{name}` is 0: it must be positive"):
        layer_of("Local", {"local_param": {"num_output": 2, "kernel_size": 1, "stride": 1, name: 0}})
