import numpy as np
import pytest

from netc.ir.layer import Cost
from netc.layers.mobile_activations import HardSwish, Mish, ReLU6, SeLU, SeLu
from tests.layers.case import Source, alike
from tests.layers.contract import gradient, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, run

INNER = Source(role="inner")
BOUNDED = Source(role="inner", in_place=True, reads_top_in_place="values")
CASES = [
    alike("ReLU6", 0.1, 0.5, source=BOUNDED),
    alike("ReLU6", n=0.5, source=BOUNDED),
    alike("HardSwish", source=INNER),
    alike("Mish", source=INNER),
    alike("SeLU", source=INNER),
    alike("SeLu", 1.5, 0.75, source=INNER),
]
FORMULAS = [
    (ReLU6(), lambda x: np.clip(x, 0, 6)),
    (ReLU6(0.1, 0.5), lambda x: np.minimum(np.where(x > 0, x, 0.1 * x), 0.5)),
    (HardSwish(), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (SeLU(1.5, 0.75), lambda x: 0.75 * np.where(x > 0, x, 1.5 * np.expm1(x))),
]


@pytest.mark.parametrize(("layer", "formula"), FORMULAS, ids=[repr(layer) for layer, _ in FORMULAS])
class TestFormulas:
    @pytest.mark.parametrize("stock", [True, False])
    def test_forward(self, layer, formula, stock):
        x = 5 * values(2, 3, 5).numpy()
        np.testing.assert_allclose(run(layer, x, stock=stock)[0], formula(x), rtol=1e-12, atol=1e-15)

    def test_backward(self, layer, formula):
        assert gradcheck(layer, (2, 3, 5))

    def test_other_sizes_and_traces(self, layer, formula):
        resizes(layer, (values(2, 3, 5),), (values(4, 7),))
        traces(layer, values(2, 3, 5))


def test_gradient_at_the_bounds():
    kinks = np.array([-2.0, 0.0, 3.0, 6.0, 7.0])
    np.testing.assert_array_equal(gradient(ReLU6(), kinks), [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(gradient(ReLU6(0.25), kinks), [0.25, 0.25, 1, 0, 0])
    np.testing.assert_allclose(gradient(SeLU(2.0, 3.0), np.zeros(1)), [6.0])


def test_files():
    assert round_trip("ReLU6") == ReLU6()
    assert round_trip("ReLU6", negative_slope=0.25, n=4.0) == ReLU6(0.25, 4.0)
    assert v1_name("ReLU6") == "RELU6"
    assert round_trip("SeLU") == SeLU()
    assert round_trip("SeLu", **{"lambda": 2.0}) == SeLu(factor=2.0)
    assert (SeLU().alpha, SeLu().alpha) == (1.67326, 1.67326324)


def test_costs():
    shape = ((2, 3),)
    costs = [layer.cost(shape, shape) for layer in (ReLU6(), ReLU6(0.1), HardSwish(), Mish(), SeLU())]
    assert costs == [Cost(0, count) for count in (12, 18, 30, 30, 30)]
