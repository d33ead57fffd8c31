import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.scale import Bias, Scale
from tests.layers.case import alike
from tests.layers.contract import raises, resizes, round_trip, traces, v1_name, values
from tests.layers.harness import gradcheck, layer_from, module_of, run

CASES = [
    alike("Scale", 1, bias_term=True),
    alike("Bias"),
]


SPREADS = [(0, 1), (1, 1), (1, 2), (-2, -1), (0, -1), (2, 0), (3, 1)]


def spread(operand, axis, axes):
    axis = axis % axes if operand.ndim else 0
    return operand.reshape(*[1] * axis, *operand.shape, *[1] * (axes - axis - operand.ndim))


@pytest.mark.parametrize(("axis", "num_axes"), SPREADS)
def test_learned(axis, num_axes):
    x = values(2, 3, 4, 5).numpy()
    layer = Scale(axis, num_axes, bias_term=True)
    weight, bias = (values(*w.shape, seed=i).float().numpy() for i, w in enumerate(layer.weights((x.shape,))))
    (y,) = run(layer, x, weights=(weight, bias))
    np.testing.assert_allclose(y, x * spread(weight, axis, 4) + spread(bias, axis, 4), rtol=1e-12)
    (y,) = run(Scale(axis, num_axes), x, weights=(weight,))
    np.testing.assert_allclose(y, x * spread(weight, axis, 4), rtol=1e-12)
    (y,) = run(Bias(axis, num_axes), x, weights=(bias,))
    np.testing.assert_allclose(y, x + spread(bias, axis, 4), rtol=1e-12)


@pytest.mark.parametrize(("axis", "shape"), [(0, (2,)), (1, (3, 4)), (-1, (5,)), (7, ()), (0, (2, 3, 4, 5))])
def test_second_bottom(axis, shape):
    x, operand = values(2, 3, 4, 5).numpy(), values(*shape, seed=4).numpy()
    bias = values(*shape, seed=5).float().numpy()
    (y,) = run(Scale(axis, 1, bias_term=True), x, operand, weights=(bias,))
    np.testing.assert_allclose(y, x * spread(operand, axis, 4) + spread(bias, axis, 4), rtol=1e-12)
    (y,) = run(Bias(axis), x, operand)
    np.testing.assert_allclose(y, x + spread(operand, axis, 4), rtol=1e-12)


@pytest.mark.parametrize(("axis", "num_axes"), SPREADS)
def test_backward(axis, num_axes):
    assert gradcheck(Scale(axis, num_axes, bias_term=True), (2, 3, 4, 2))
    assert gradcheck(Bias(axis, num_axes), (2, 3, 4, 2))


def test_backward_of_the_second_bottom():
    assert gradcheck(Scale(1, bias_term=True), (2, 3, 4, 2), (3, 4))
    assert gradcheck(Scale(), (2, 3), ())
    assert gradcheck(Bias(0), (2, 3, 4), (2, 3))


@pytest.mark.parametrize("layer", [Scale(), Scale(bias_term=True), Bias()])
def test_sizes_and_traces(layer):
    resizes(layer, (values(2, 3, 4, 5),), (values(4, 3, 6, 2),))
    resizes(layer, (values(2, 3, 4), values(3)), (values(4, 3, 6), values(3)))
    traces(layer, values(2, 3, 4, 5))
    traces(layer, values(2, 3, 4, 5), values(3, 4))


def test_files_names_and_cost():
    layer = round_trip("Scale", axis=-2, num_axes=2, filler={"value": 0.0}, bias_term=True, bias_filler={"value": 3.0})
    assert layer == Scale(-2, 2, Filler(), True, Filler(value=3.0))
    assert round_trip("Scale").filler == Filler(value=1.0)
    assert round_trip("Bias", axis=0, num_axes=-1, filler={"type": "msra"}) == Bias(0, -1, Filler("msra"))
    assert v1_name("Scale") is v1_name("Bias") is None
    shapes = ((2, 3, 4),)
    assert Scale().cost(shapes, shapes) == Bias().cost(shapes, shapes) == Cost(0, 24)
    assert Scale(bias_term=True).cost(shapes, shapes) == Cost(0, 48)
    assert Scale.in_place
    assert Bias.in_place


def test_blobs():
    shapes = ((2, 3, 4, 5),)
    assert [(w.name, w.shape, w.filler.value) for w in Scale(1, 2, bias_term=True).weights(shapes)] == [
        ("weight", (3, 4), 1.0),
        ("bias", (3, 4), 0.0),
    ]
    assert [w.name for w in Scale(1, bias_term=True).weights((*shapes, (3, 4, 5)))] == ["bias"]
    assert Scale().weights((*shapes, (3,))) == Bias().weights((*shapes, (3,))) == ()
    assert Scale(num_axes=0).weights(shapes)[0].shape == ()


def test_unknown_extents():
    assert repr(Scale(num_axes=2).weights(((2, 3, UNKNOWN),))[0].shape) == "(3, ?)"
    assert Scale().infer(((2, 3, UNKNOWN), (3, 5)), 1)[0][:2] == (2, 3)


def test_mismatches():
    for name, cls in (("Scale", Scale), ("Bias", Bias)):
        with raises("E103", "`num_axes` is -2"):
            layer_from(name, num_axes=-2)
        with raises("E102", "axis 3 of a bottom with 3 axes"):
            cls(axis=3).infer(((2, 3, 4),), 1)
        with raises("E102", "3 axes from axis 1 of a bottom with 3 axes"):
            cls(num_axes=3).infer(((2, 3, 4),), 1)
        with raises("E102", r"\[3,5\] does not match \[2,3,4\] from axis 1"):
            cls().infer(((2, 3, 4), (3, 5)), 1)
        with raises("E102", r"\[3,4,1\] does not match"):
            cls().infer(((2, 3, 4), (3, 4, 1)), 1)
        with raises("E102", r"\[3\] does not match \[2,4\]"):
            module_of(cls(), ((2, 3),))(torch.ones(2, 4))
