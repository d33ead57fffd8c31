import math

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.elementwise import AbsVal, Clip, Exp, Log, Power, Threshold
from tests.layers.case import alike
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, module_of, run

CASES = [
    alike("AbsVal"),
    alike("Threshold"),
    alike("Clip", -0.5, 0.6),
    alike("Exp", 2.0, 0.5),
    alike("Log", 10.0, 0.5, 3.0),
    alike("Power", 2.0, 0.5, 1.0),
]


FORMULAS = [
    (AbsVal(), np.abs),
    (Clip(min=-0.3, max=0.7), lambda x: np.minimum(np.maximum(x, -0.3), 0.7)),
    (Clip(min=0.5, max=-0.5), lambda x: np.full_like(x, 0.5)),
    (Exp(), np.exp),
    (Exp(base=2, scale=0.5, shift=0.25), lambda x: 2 ** (0.25 + 0.5 * x)),
    (Exp(scale=-1.5, shift=2), lambda x: np.exp(2 - 1.5 * x)),
    (Log(shift=4), lambda x: np.log(4 + x)),
    (Log(base=10, scale=0.5, shift=3), lambda x: np.log10(3 + 0.5 * x)),
    (Log(base=0.5, shift=5), lambda x: np.log(5 + x) / np.log(0.5)),
    (Power(), lambda x: x),
    (Power(scale=0.5, shift=-1), lambda x: 0.5 * x - 1),
    (Power(power=2, scale=0.5, shift=1), lambda x: (0.5 * x + 1) ** 2),
    (Power(power=3, scale=-2), lambda x: (-2 * x) ** 3),
    (Power(power=-0.5, shift=4), lambda x: (4 + x) ** -0.5),
    (Power(power=0, scale=3, shift=2), np.ones_like),
    (Power(power=1.5, scale=0, shift=4), lambda x: np.full_like(x, 8)),
]


@pytest.mark.parametrize(("layer", "formula"), FORMULAS, ids=[repr(layer) for layer, _ in FORMULAS])
class TestFormulas:
    def test_forward(self, layer, formula):
        x = values(2, 3, 5).numpy()
        (y,) = run(layer, x)
        np.testing.assert_allclose(y, formula(x), rtol=1e-12, atol=1e-15)

    def test_backward(self, layer, formula):
        assert gradcheck(layer, (2, 3, 5))

    def test_keeps_shapes_known_and_unknown(self, layer, formula):
        assert repr(layer.infer(((UNKNOWN, 3, 5),), 1)) == "((?, 3, 5),)"

    def test_other_sizes_and_traces(self, layer, formula):
        resizes(layer, (values(2, 3, 5),), (values(4, 7),))
        traces(layer, values(2, 3, 5))


class TestAbsVal:
    def test_gradient_at_zero_is_zero(self):
        np.testing.assert_array_equal(gradient(AbsVal(), [-2.0, -0.0, 0.0, 3.0]), [-1, 0, 0, 1])

    def test_file_cost_and_place(self):
        assert round_trip("AbsVal") == AbsVal()
        assert v1_name("AbsVal") == "ABSVAL"
        assert AbsVal().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
        assert not AbsVal().in_place


class TestClip:
    def test_gradient_passes_at_the_bounds(self):
        found = gradient(Clip(min=-0.5, max=2), [-0.6, -0.5, 0.0, 2.0, 2.1])
        np.testing.assert_array_equal(found, [0, 1, 1, 1, 0])

    def test_crossed_bounds_pass_no_gradient(self):
        np.testing.assert_array_equal(gradient(Clip(min=1, max=-1), [-2.0, -1.0, 0.0, 1.0, 2.0]), [0] * 5)

    def test_file_cost_and_place(self):
        layer = round_trip("Clip", min=-0.5, max=6)
        assert (layer.min, layer.max) == (-0.5, 6)
        assert v1_name("Clip") is None
        assert layer.cost(((2, 3),), ((2, 3),)) == Cost(0, 12)
        assert not layer.in_place

    @pytest.mark.parametrize(("given", "missing"), [("max", "min"), ("min", "max")])
    def test_both_bounds_are_required(self, given, missing):
        with raises("E101", f"`{missing}` is missing"):
            round_trip("Clip", **{given: 1.0})


class TestExp:
    def test_a_factor_beyond_float_range_is_infinite(self):
        (y,) = run(Exp(base=10, shift=400), np.array([-1.0, 2.0]))
        np.testing.assert_array_equal(y, [math.inf, math.inf])

    def test_file_cost_and_place(self):
        assert round_trip("Exp") == Exp()
        assert round_trip("Exp", base=2, scale=0.5, shift=3) == Exp(2, 0.5, 3)
        assert v1_name("Exp") == "EXP"
        assert Exp().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
        assert Exp(2, 0.5, 3).cost(((2, 3),), ((2, 3),)) == Cost(0, 18)
        assert Exp().in_place

    @pytest.mark.parametrize("base", [0.0, -2.0, math.inf, math.nan])
    def test_base_must_have_a_logarithm(self, base):
        with raises("E103", "`base` is .*: it must be a positive number, or -1 for e"):
            round_trip("Exp", base=base)

    def test_base_one_is_a_constant(self):
        np.testing.assert_array_equal(run(Exp(base=1), np.array([3.0, -4.0]))[0], [1, 1])


class TestLog:
    def test_file_cost_and_place(self):
        assert round_trip("Log") == Log()
        assert round_trip("Log", base=10, scale=0.5, shift=3) == Log(10, 0.5, 3)
        assert v1_name("Log") is None
        assert Log().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
        assert Log(10, 0.5, 3).cost(((2, 3),), ((2, 3),)) == Cost(0, 24)
        assert not Log().in_place

    def test_base_must_have_a_logarithm_other_than_zero(self):
        with raises("E103", "`base` is -3: it must be a positive number"):
            round_trip("Log", base=-3)
        with raises("E103", "`base` is 1: there is no logarithm to base 1"):
            round_trip("Log", base=1)


class TestPower:
    @pytest.mark.parametrize(
        ("layer", "expected"),
        [
            (Power(power=0), [0, 0, 0, 0]),
            (Power(power=-1, scale=0), [0, 0, 0, 0]),
            (Power(power=1, scale=3), [3, 3, 3, np.nan]),
            (Power(power=2, scale=2), [-8, 0, 16, np.nan]),
            (Power(power=3), [3, 0, 12, np.nan]),
            (Power(power=2, scale=2, shift=2), [0, 8, 24, np.nan]),
        ],
    )
    def test_gradients(self, layer, expected):
        found = gradient(layer, [-1.0, 0.0, 2.0, np.nan])
        if layer.power == 1 or 0 in (layer.power, layer.scale):  # the same for every x, even for what is no number
            expected = [expected[0]] * 4
        np.testing.assert_array_equal(found, expected)

    def test_a_constant_ignores_the_bottom(self):
        x = np.array([math.nan, math.inf, 0.0])
        np.testing.assert_array_equal(run(Power(power=0, shift=-7), x)[0], [1, 1, 1])
        np.testing.assert_array_equal(run(Power(power=-1, scale=0, shift=0), x)[0], [math.inf] * 3)
        np.testing.assert_array_equal(run(Power(power=0.5, scale=0, shift=-1), x)[0], [math.nan] * 3)

    def test_file_cost_and_place(self):
        assert round_trip("Power") == Power()
        assert round_trip("Power", power=2, scale=0.5, shift=3) == Power(2, 0.5, 3)
        assert v1_name("Power") == "POWER"
        assert Power(2, 0.5, 3).cost(((2, 3),), ((2, 3),)) == Cost(0, 18)
        assert Power(0, 0.5, 3).cost(((2, 3),), ((2, 3),)) == Cost(0, 0)

    def test_in_place_where_the_gradient_needs_no_bottom(self):
        assert Power(scale=3, shift=1).in_place
        assert Power(power=0).in_place
        assert not Power(power=2).in_place


class TestThreshold:
    def test_forward(self):
        (y,) = run(Threshold(threshold=0.5), np.array([0.4, 0.5, 0.6], np.float32))
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, [0, 0, 1])

    def test_no_gradient(self):
        assert Threshold.no_gradient == (0,)
        x = values(2, 3).requires_grad_()
        assert not module_of(Threshold(), ((2, 3),))(x).requires_grad

    def test_file_cost_sizes_and_traces(self):
        assert round_trip("Threshold") == Threshold()
        assert round_trip("Threshold", threshold=0.25) == Threshold(0.25)
        assert v1_name("Threshold") == "THRESHOLD"
        assert Threshold().cost(((2, 3),), ((2, 3),)) == Cost(0, 6)
        resizes(Threshold(0.25), (values(2, 3, 5),), (values(4, 7),))
        traces(Threshold(0.25), values(2, 3, 5))
