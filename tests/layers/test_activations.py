import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.activations import BNLL, ELU, PReLU, ReLU, Sigmoid, Swish, TanH
from tests.layers.case import alike
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    alike("BNLL"),
    alike("ReLU"),
    alike("Sigmoid"),
    alike("TanH"),
    alike("PReLU"),
    alike("ELU", 1.7),
    alike("Swish", 2.5),
]


KINKS = np.array([-2.0, -0.0, 0.0, 1.5])

FORMULAS = [
    (ReLU(), lambda x: np.maximum(x, 0)),
    (ReLU(negative_slope=0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (ReLU(negative_slope=-0.7), lambda x: np.where(x > 0, x, -0.7 * x)),
    (ELU(alpha=1.7), lambda x: np.where(x > 0, x, 1.7 * (np.exp(x) - 1))),
    (Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (TanH(), np.tanh),
    (BNLL(), lambda x: np.log(1 + np.exp(x))),
    (Swish(), lambda x: x / (1 + np.exp(-x))),
    (Swish(beta=2.5), lambda x: x / (1 + np.exp(-2.5 * x))),
]


@pytest.mark.parametrize(("layer", "formula"), FORMULAS, ids=[repr(layer) for layer, _ in FORMULAS])
class TestFormulas:
    @pytest.mark.parametrize("stock", [True, False])
    def test_forward(self, layer, formula, stock):
        x = values(2, 3, 5).numpy()
        (y,) = run(layer, x, stock=stock)
        np.testing.assert_allclose(y, formula(x), rtol=1e-12, atol=1e-15)

    def test_backward(self, layer, formula):
        assert gradcheck(layer, (2, 3, 5))

    def test_keeps_shapes_known_and_unknown(self, layer, formula):
        assert repr(layer.infer(((UNKNOWN, 3, 5),), 1)) == "((?, 3, 5),)"

    def test_other_sizes_and_traces(self, layer, formula):
        resizes(layer, (values(2, 3, 5),), (values(4, 7),))
        traces(layer, values(2, 3, 5))


class TestReLU:
    def test_gradient_at_zero_is_that_of_the_negative_side(self):
        np.testing.assert_array_equal(gradient(ReLU(), KINKS), [0, 0, 0, 1])
        np.testing.assert_array_equal(gradient(ReLU(negative_slope=0.25), KINKS), [0.25, 0.25, 0.25, 1])

    def test_stock_modules(self):
        assert type(module_of(ReLU(), ((2, 3),))) is torch.nn.ReLU
        leaky = module_of(ReLU(negative_slope=0.1), ((2, 3),))
        assert type(leaky) is torch.nn.LeakyReLU
        assert leaky.negative_slope == 0.1

    def test_file(self):
        assert round_trip("ReLU") == ReLU()
        assert round_trip("ReLU", negative_slope=0.1).to_caffe() == {"negative_slope": 0.1}
        assert v1_name("ReLU") == "RELU"

    def test_in_place_but_for_a_negative_slope(self):
        assert ReLU(negative_slope=0.1).in_place
        assert not ReLU(negative_slope=-0.1).in_place

    def test_cost(self):
        assert ReLU().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
        assert ReLU(negative_slope=0.1).cost(((2, 3),), ((2, 3),)) == Cost(0, 12)


class TestPReLU:
    SLOPES = np.array([0.125, -0.5, 1.25])

    @pytest.mark.parametrize("stock", [True, False])
    def test_one_slope_per_channel(self, stock):
        x = values(2, 3, 5, 4).numpy()
        (y,) = run(PReLU(), x, weights=[self.SLOPES], stock=stock)
        np.testing.assert_allclose(y, np.where(x > 0, x, x * self.SLOPES[:, None, None]), rtol=1e-15)

    @pytest.mark.parametrize("stock", [True, False])
    def test_one_slope_for_all(self, stock):
        x = values(2, 3, 5).numpy()
        (y,) = run(PReLU(channel_shared=True), x, weights=[np.array(0.625)], stock=stock)
        np.testing.assert_allclose(y, np.where(x > 0, x, x * 0.625), rtol=1e-15)

    @pytest.mark.parametrize("shared", [True, False])
    def test_backward(self, shared):
        assert gradcheck(PReLU(channel_shared=shared), (4, 3, 5))
        assert gradcheck(PReLU(channel_shared=shared), (4, 3))

    @pytest.mark.parametrize("shared", [True, False])
    def test_gradients_at_zero(self, shared):
        module = module_of(PReLU(channel_shared=shared), ((1, 2),)).double()
        x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        module(x).sum().backward()
        slope = module.weight.detach().expand(2)
        torch.testing.assert_close(x.grad[0], slope)
        assert module.weight.grad.abs().sum() == 0

    def test_blob(self):
        (own,) = PReLU().weights(((2, 3, 5),))
        assert (own.name, own.shape, own.module_shape, own.filler) == ("weight", (3,), (3,), Filler(value=0.25))
        (shared,) = PReLU(channel_shared=True).weights(((2, 3, 5),))
        assert (shared.shape, shared.module_shape) == ((), (1,))

    def test_other_sizes_and_traces(self):
        for shared in (True, False):
            resizes(PReLU(channel_shared=shared), (values(2, 3, 5),), (values(4, 3, 2, 6),))
            traces(PReLU(channel_shared=shared), values(2, 3, 5))

    def test_file(self):
        assert round_trip("PReLU") == PReLU()
        layer = round_trip("PReLU", channel_shared=True, filler={"type": "gaussian", "std": 0.5})
        assert layer == PReLU(Filler("gaussian", std=0.5), True)
        assert round_trip("PReLU", filler={"type": "constant"}).filler.value == 0
        assert v1_name("PReLU") is None

    def test_stock_module_cost_and_place(self):
        assert type(module_of(PReLU(), ((2, 3),))) is torch.nn.PReLU
        assert PReLU().cost(((2, 3),), ((2, 3),)) == Cost(0, 12)
        assert PReLU().in_place

    def test_needs_a_channel_axis(self):
        assert repr(PReLU().infer(((UNKNOWN, 3),), 1)) == "((?, 3),)"
        with raises("E102", "expects a bottom with at least 2 axes, got 1"):
            PReLU().infer(((7,),), 1)

    def test_unknown_filler(self):
        with raises("E103", "unknown filler type `ones`"):
            round_trip("PReLU", filler={"type": "ones"})


class TestELU:
    def test_gradient_at_zero_is_alpha(self):
        found = gradient(ELU(alpha=0.3), KINKS)
        np.testing.assert_allclose(found, [0.3 * np.exp(-2), 0.3, 0.3, 1], rtol=1e-14)

    def test_file_cost_and_place(self):
        assert round_trip("ELU") == ELU()
        assert round_trip("ELU", alpha=0.5) == ELU(alpha=0.5)
        assert v1_name("ELU") is None
        assert type(module_of(ELU(), ((2, 3),))) is torch.nn.ELU
        assert ELU().cost(((2, 3),), ((2, 3),)) == Cost(0, 24)
        assert ELU().in_place
        assert not ELU(alpha=-1).in_place


class TestBNLL:
    def test_large_values_neither_overflow_nor_lose_their_gradient(self):
        x = np.array([-800.0, -30.0, 49.0, 51.0, 800.0])
        (y,) = run(BNLL(), x)
        np.testing.assert_allclose(y, [0, np.exp(-30.0), 49, 51, 800], rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(gradient(BNLL(), x), [0, np.exp(-30.0), 1, 1, 1], rtol=1e-12, atol=1e-300)

    def test_file_cost_and_place(self):
        assert round_trip("BNLL") == BNLL()
        assert v1_name("BNLL") == "BNLL"
        assert type(module_of(BNLL(), ((2, 3),))) is torch.nn.Softplus
        assert BNLL().cost(((2, 3),), ((2, 3),)) == Cost(0, 18)
        assert not BNLL().in_place


def test_sigmoid_file_cost_and_place():
    assert round_trip("Sigmoid") == Sigmoid()
    assert v1_name("Sigmoid") == "SIGMOID"
    assert type(module_of(Sigmoid(), ((2, 3),))) is torch.nn.Sigmoid
    assert Sigmoid().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
    assert Sigmoid().in_place


def test_tanh_file_cost_and_place():
    assert round_trip("TanH") == TanH()
    assert v1_name("TanH") == "TANH"
    assert type(module_of(TanH(), ((2, 3),))) is torch.nn.Tanh
    assert TanH().in_place


def test_swish_file_cost_and_place():
    assert round_trip("Swish") == Swish()
    assert round_trip("Swish", beta=1.5) == Swish(beta=1.5)
    assert v1_name("Swish") is None
    assert type(module_of(Swish(), ((2, 3),))) is torch.nn.SiLU
    assert Swish().cost(((2, 3),), ((2, 3),)) == Cost(0, 12)
    assert Swish(beta=2).cost(((2, 3),), ((2, 3),)) == Cost(0, 18)
    assert Swish().in_place
