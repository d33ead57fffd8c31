import numpy as np
import pytest

from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

X, DY = numbers(2, 3, 4), numbers(2, 3, 4, seed=4)


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize("learned", [0, 1])
def test_channels(order, learned):
    channels, axes = (3, (0, 2)) if order == "NCHW" else (4, (0, 1))
    factor, addend = numbers(channels, seed=2), numbers(channels, seed=3)
    shape = (-1, 1) if order == "NCHW" else (-1,)
    operator = OneOperator("AffineChannel", X, factor, addend, order=order, is_learnable=learned)
    close(operator.run()[0], X * factor.reshape(shape) + addend.reshape(shape))
    dx, dfactor, daddend = operator.gradients(DY)
    close(dx, DY * factor.reshape(shape))
    close(dfactor, (DY * X).sum(axes) * learned, 1e-4)
    close(daddend, DY.sum(axes) * learned, 1e-4)
    if learned:
        with refused("E023", "cannot write output 0"):
            run("AffineChannel", X, factor, addend, outputs=("A",), is_learnable=1)
    else:
        found = run("AffineChannel", X, factor, addend, outputs=("A",), order=order)
        close(found, X * factor.reshape(shape) + addend.reshape(shape))


@pytest.mark.parametrize(("axis", "count"), [({}, 12), ({"axis": 2}, 4), ({"axis": -1}, 4), ({"axis": 0}, 24)])
def test_features(axis, count):
    factor, addend = numbers(count, seed=2), numbers(count, seed=3)
    operator = OneOperator("ElementwiseLinear", X, factor, addend, **axis)
    rows, g = X.reshape(-1, count), DY.reshape(-1, count)
    close(operator.run()[0], (rows * factor + addend).reshape(X.shape))
    dx, dfactor, daddend = operator.gradients(DY)
    close(dx, (g * factor).reshape(X.shape))
    close(dfactor, (g * rows).sum(0), 1e-4)
    close(daddend, g.sum(0), 1e-4)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_norms(axis):
    wide, g = X.astype(np.float64), DY.astype(np.float64)
    norm = np.sqrt((wide**2).sum(axis, keepdims=True))
    operator = OneOperator("Normalize", X, axis=axis)
    close(operator.run()[0], wide / norm)
    close(operator.gradients(DY)[0], g / norm - wide / norm**3 * (wide * g).sum(axis, keepdims=True))
    close(run("NormalizeL1", X, axis=axis), wide / np.abs(wide).sum(axis, keepdims=True))


def test_zeros_stay_zeros():
    zeros = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(run("Normalize", zeros), zeros)
    np.testing.assert_array_equal(run("NormalizeL1", zeros), zeros)


def test_planes_of_images():
    x, mean, deviation = numbers(2, 3, 4, 5), numbers(2, 3, seed=2), np.abs(numbers(1, 3, seed=3)) + 1
    expected = (x - mean[0].reshape(3, 1, 1)) / deviation[0].reshape(3, 1, 1)
    close(run("NormalizePlanarYUV", x, mean, deviation), expected)


THREE, FOUR = numbers(3), numbers(4)
REFUSED = [
    (
        "AffineChannel",
        (X, FOUR, THREE),
        {},
        "E102",
        "input 1 of `AffineChannel` has shape [4], but X[2,3,4] 3 channels",
    ),
    ("AffineChannel", (THREE, THREE, THREE), {}, "E102", "at least 2 axes"),
    ("ElementwiseLinear", (X, FOUR, FOUR), {}, "E102", "has shape [4], expected [12]"),
    ("ElementwiseLinear", (X, FOUR, FOUR), {"axis": 3}, "E103", "out of range"),
    ("Normalize", (X,), {"axis": 3}, "E103", "out of range"),
    ("NormalizePlanarYUV", (X, THREE, THREE), {}, "E102", "expected 4 axes"),
    ("NormalizePlanarYUV", (numbers(1, 3, 2, 2), numbers(1, 4), numbers(1, 3)), {}, "E102", "expected [1,3]"),
]


@pytest.mark.parametrize(("name", "arrays", "arguments", "code", "words"), REFUSED)
def test_refused(name, arrays, arguments, code, words):
    with refused(code, words):
        run(name, *arrays, **arguments)
