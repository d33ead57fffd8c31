import numpy as np
import pytest

from netc.ir.layer import Cost
from tests.layers.contract import raises
from tests.layers.harness import gradcheck
from tests.layers.operators.test_convolution import frames_of
from tests.layers.operators.windows import columns, compute, last, made, numbers


def connected(x, w, b, arguments, group=1):
    axes = x.ndim - 2
    found = np.nan_to_num(columns(x, arguments["kernels"], frames_of(arguments, x.shape[2:]), arguments.get("strides")))
    m, depth = w.shape[axes : axes + 2]
    y = np.zeros((len(x), m, *w.shape[:axes]))
    for place in np.ndindex(*w.shape[:axes]):
        for output in range(m):
            g = output // (m // group)
            window = found[(slice(None), slice(g * depth, (g + 1) * depth), *place)]
            y[(slice(None), output, *place)] = (window * w[place][output]).reshape(len(x), -1).sum(1)
    return y + (0 if b is None else np.moveaxis(b, -1, 0))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2])
def test_forward_and_backward(axes, group):
    arguments = {"kernels": [2, 3, 2][:axes], "strides": [2, 1, 1][:axes]}
    arguments["pads"] = [1, 0, 0][:axes] + [0, 1, 0][:axes]
    x = numbers(2, 4, *(5, 4, 3)[:axes])
    windows = [count for count, _ in frames_of(arguments, x.shape[2:])]
    w, b = numbers(*windows, 6, 4 // group, *arguments["kernels"], seed=2), numbers(*windows, 6, seed=3)
    name = "LC" if axes == 2 else f"LC{axes}D"
    found = compute(name, x, w, b, group=group, **arguments)
    np.testing.assert_allclose(found, connected(x, w, b, arguments, group), rtol=1e-10)
    small = w[..., :2, :, *(slice(None),) * axes]
    found = compute(name, x, small, group=group, **arguments)
    np.testing.assert_allclose(found, connected(x, small, None, arguments, group), rtol=1e-10)
    assert gradcheck(made(name, group=group, **arguments), x.shape, small.shape, (*windows, 2))


def test_channels_last():
    arguments = {"kernels": [2, 3], "pads": [0, 1, 0, 0]}
    x, w, b = numbers(2, 3, 4, 5), numbers(3, 4, 6, 3, 2, 3, seed=2), numbers(3, 4, 6, seed=3)
    w_last = np.moveaxis(w, 3, -1)
    found = compute("LC2D", last(x), w_last, b, order="NHWC", group=3, **arguments)
    np.testing.assert_allclose(found, last(connected(x, w, b, arguments)), rtol=1e-10)


def test_dilation_and_cost():
    x, w = numbers(1, 1, 4), numbers(2, 1, 1, 2, seed=2)
    layer = made("LC", kernels=[2], dilations=[2])
    expected = x[0, 0, :2] * w[:, 0, 0, 0] + x[0, 0, 2:] * w[:, 0, 0, 1]
    np.testing.assert_allclose(compute("LC", x, w, kernels=[2], dilations=[2])[0, 0], expected)
    shapes = x.shape, w.shape
    assert layer.cost(shapes, layer.infer(shapes, 1)) == Cost(macs=4)


@pytest.mark.parametrize(
    ("shapes", "arguments", "text"),
    [
        (((1, 2, 4), (3, 3, 3, 2, 2, 2)), {"kernel": 2}, "expected 4 axes"),
        (((1, 2, 4, 4), (3, 3, 3, 2, 2)), {"kernel": 2}, "expected 6 axes"),
        (((1, 2, 4, 4), (3, 2, 3, 2, 2, 2)), {"kernel": 2}, "is for \\[3,2\\] windows, but there are \\[3,3\\]"),
        (((1, 2, 4, 4), (3, 3, 3, 1, 2, 2)), {"kernel": 2}, "has 2 channels, but the filter .* expects 1"),
        (((1, 2, 4, 4), (3, 3, 3, 2, 2, 3)), {"kernel": 2}, "but the kernel is"),
        (((1, 2, 4, 4), (3, 3, 3, 1, 2, 2)), {"kernel": 2, "group": 2}, "3 outputs cannot be divided"),
        (((1, 2, 4, 4), (3, 3, 3, 2, 2, 2), (3,)), {"kernel": 2}, "input 2 .* expected \\[3,3,3\\]"),
        (((1, 2, 0, 4), (3, 3, 3, 2, 2, 2)), {"kernel": 2, "pad": 1}, "has no elements"),
    ],
)
def test_refused_shapes(shapes, arguments, text):
    with raises("E102", text):
        made("LC", **arguments).infer(shapes, 1)


def test_channels_last_is_for_planes():
    with raises("E101", "`LC1D` supports `NHWC` for planes only"):
        made("LC1D", kernels=[2], order="NHWC")
