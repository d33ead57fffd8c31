import numpy as np
import pytest
import torch
from torch import nn

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.inner_product import Embed, InnerProduct
from tests.layers.case import Case, made
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    Case(made("Embed", 3, 5), ((4,),), ((2, 3),), integers=(0,), below=5),
    Case(made("InnerProduct", 3), ((2, 4, 3),), ((5, 12),)),
]


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_forward(axis, transpose, stock):
    x = values(2, 3, 4, 5).numpy()
    layer = InnerProduct(7, axis, transpose)
    weight, bias = (values(*w.shape, seed=i).float().numpy() for i, w in enumerate(layer.weights((x.shape,))))
    (y,) = run(layer, x, weights=(weight, bias), stock=stock)
    rows = x.reshape(*x.shape[: axis % 4], -1)
    np.testing.assert_allclose(y, rows @ (weight if transpose else weight.T) + bias, rtol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_backward(transpose, bias):
    assert gradcheck(InnerProduct(3, 1, transpose, bias), (2, 3, 2))
    assert gradcheck(InnerProduct(3, -1, transpose, bias), (2, 3, 2))


def test_sizes_and_traces():
    for layer in (InnerProduct(7), InnerProduct(7, transpose=True), InnerProduct(7, 2, bias_term=False)):
        resizes(layer, (values(2, 3, 4, 5),), (values(4, 3, 4, 5),))
        traces(layer, values(2, 3, 4, 5))
    traces(InnerProduct(7), values(2, 3))


def test_inner_product_file_names_and_cost():
    layer = round_trip(
        "InnerProduct", num_output=7, axis=-2, transpose=True, bias_term=False, weight_filler={"std": 0.5}
    )
    assert layer == InnerProduct(7, -2, True, False, Filler(std=0.5))
    assert v1_name("InnerProduct") == "INNER_PRODUCT"
    assert InnerProduct(7).cost(((2, 3, 4),), ((2, 7),)) == Cost(macs=2 * 12 * 7)
    assert type(module_of(InnerProduct(7), ((2, 3),))) is nn.Linear
    assert [w.shape for w in InnerProduct(7).weights(((2, 3, 4),))] == [(7, 12), (7,)]
    assert [w.shape for w in InnerProduct(7, transpose=True, bias_term=False).weights(((2, 3, 4),))] == [(12, 7)]
    assert repr(InnerProduct(7).infer(((UNKNOWN, 3, UNKNOWN),), 1)) == "((?, 7),)"


@pytest.mark.parametrize("bias", [True, False])
def test_embed(bias):
    layer = Embed(3, 6, bias)
    index = np.array([[5.0, 0, 2], [2, 2, 4]])
    weight, addend = values(6, 3).float().numpy(), values(3, seed=4).float().numpy()
    (y,) = run(layer, index, weights=(weight, addend))
    np.testing.assert_allclose(y, weight.astype(float)[index.astype(int)] + bias * addend, rtol=1e-12)
    assert gradcheck(layer, (2, 3), fixed={0: torch.tensor(index)})
    traces(layer, torch.tensor(index))
    resizes(layer, (torch.tensor(index),), (torch.tensor([1.0, 5]),))


def test_embed_file_names_and_cost():
    layer = round_trip("Embed", num_output=3, input_dim=6, bias_term=False, weight_filler={"type": "xavier"})
    assert layer == Embed(3, 6, False, Filler("xavier"))
    assert v1_name("Embed") is None
    assert Embed.no_gradient == (0,)
    assert [w.shape for w in Embed(3, 6).weights(((2, 5),))] == [(6, 3), (3,)]
    assert Embed(3, 6).cost(((2, 5),), ((2, 5, 3),)) == Cost(0, 30)
    assert Embed(3, 6, False).cost(((2, 5),), ((2, 5, 3),)) == Cost()
    assert repr(Embed(3, 6).infer(((UNKNOWN,),), 1)) == "((?, 3),)"


@pytest.mark.parametrize("index", [6.0, -1.0])
def test_an_index_out_of_range(index):
    with raises("E301", f"index outside 0 to 5: {index:g}"):
        module_of(Embed(3, 6), ((2,),))(torch.tensor([2.0, index]))


def test_mismatches():
    with raises("E103", "`num_output` is 0"):
        layer_from("InnerProduct")
    with raises("E102", "axis 2 of a bottom with 2 axes"):
        InnerProduct(7, 2).infer(((3, 4),), 1)
    with raises("E102", r"vectors of 15 do not fit weights of shape \[7,12\]"):
        module_of(InnerProduct(7), ((2, 3, 4),))(torch.ones(2, 3, 5))
    with raises("E103", "`num_output` is 0"):
        layer_from("Embed", input_dim=6)
    with raises("E103", "`input_dim` is 0"):
        layer_from("Embed", num_output=6)
