import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.softmax import Softmax
from tests.layers.case import alike
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    alike("Softmax"),
]


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_forward(axis, stock):
    x = values(2, 3, 5).numpy() + 1000  # exp of it alone would overflow
    (y,) = run(Softmax(axis=axis), x, stock=stock)
    exponentials = np.exp(x - x.max(axis, keepdims=True))
    np.testing.assert_allclose(y, exponentials / exponentials.sum(axis, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("axis", [1, -1])
def test_backward(axis):
    assert gradcheck(Softmax(axis=axis), (2, 3, 4))


def test_file_cost_and_place():
    assert round_trip("Softmax") == Softmax()
    assert round_trip("Softmax", axis=-2) == Softmax(-2)
    assert v1_name("Softmax") == "SOFTMAX"
    assert type(module_of(Softmax(), ((2, 3),))) is torch.nn.Softmax
    assert Softmax().cost(((2, 3),), ((2, 3),)) == Cost(0, 30)
    assert Softmax().in_place


def test_shapes_sizes_and_traces():
    assert repr(Softmax().infer(((UNKNOWN, UNKNOWN, 4),), 1)) == "((?, ?, 4),)"
    resizes(Softmax(-1), (values(2, 3, 5),), (values(4, 7),))
    traces(Softmax(2), values(2, 3, 5))


def test_no_such_axis():
    with raises("E102", "axis 2 of a bottom with 2 axes"):
        Softmax(axis=2).infer(((3, 4),), 1)
    with raises("E102", "axis -3 of a bottom with 2 axes"):
        Softmax(axis=-3).infer(((3, 4),), 1)
