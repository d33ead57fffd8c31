import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.crop import Crop
from tests.layers.case import Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import module_of, run, shapes_of

CASES = [
    Case(made("Crop", offset=(1, 0)), ((2, 3, 5, 6), (1, 1, 3, 4)), ((1, 2, 4, 5), (1, 1, 3, 2)), held=(1,)),
]


@pytest.mark.parametrize(
    ("layer", "starts"),
    [
        (Crop(), (0, 0, 0, 0)),
        (Crop(offset=(1,)), (0, 0, 1, 1)),
        (Crop(offset=(1, 3)), (0, 0, 1, 3)),
        (Crop(-3, (2, 0, 1)), (0, 2, 0, 1)),
    ],
)
def test_forward_and_backward(layer, starts):
    x, like = values(2, 5, 6, 8), values(3, 2, 4, 5)
    first = layer.axis % 4
    part = tuple(slice(s, s + (like.shape[i] if i >= first else x.shape[i])) for i, s in enumerate(starts))
    np.testing.assert_array_equal(run(layer, x.numpy(), like.numpy())[0], x.numpy()[part])
    inputs = x.clone().requires_grad_()
    module_of(layer, shapes_of((x, like)))(inputs, like).mul(3).sum().backward()
    expected = torch.zeros_like(x)
    expected[part] = 3
    assert torch.equal(inputs.grad, expected)


def test_sizes_and_traces():
    small, large = (values(2, 3, 7, 6), values(2, 1, 4, 3)), (values(4, 3, 8, 9), values(2, 1, 5, 6))
    resizes(Crop(offset=(1, 2)), small, large)
    traces(Crop(offset=(1, 2)), *small)


def test_file_names_and_cost():
    assert round_trip("Crop", axis=1, offset=[1, 2, 3]) == Crop(1, (1, 2, 3))
    assert round_trip("Crop") == Crop()
    assert v1_name("Crop") is None
    assert Crop.no_gradient == (1,)
    assert Crop().cost(((2, 3, 7, 6), (2, 3, 4, 5)), ((2, 3, 4, 5),)) == Cost()
    assert repr(Crop().infer(((2, 3, 7, UNKNOWN), (1, 1, UNKNOWN, 5)), 1)) == "((2, 3, ?, 5),)"


@pytest.mark.parametrize(
    ("code", "text", "layer", "bottoms"),
    [
        ("E102", "axis 4 of a bottom with 4 axes", Crop(4), ((2, 3, 7, 6), (2, 3, 4, 5))),
        ("E102", "bottoms with 3 and 2 axes", Crop(1), ((2, 3, 7), (2, 3))),
        ("E101", "3 values of `offset` for 2 axes", Crop(2, (1, 1, 1)), ((2, 3, 7, 6), (2, 3, 4, 5))),
        ("E102", "axis 3 of 6 elements is too short for 5 from offset 2", Crop(2, (2,)), ((2, 3, 7, 6), (2, 3, 4, 5))),
    ],
)
def test_mismatches(code, text, layer, bottoms):
    with raises(code, text):
        layer.infer(bottoms, 1)
