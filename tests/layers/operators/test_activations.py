import math

import numpy as np
import pytest

import netc
from netc.diagnostics import Source
from tests.layers.operators.nets import OneOperator, close, numbers, refused, run, text
from tests.layers.operators.overwritten import overwritten

X = np.array([[-90, -3, -2.5, -1, -0.5, -0.0], [0, 0.5, 1, 1.5, 6, 87]], np.float32)
DY = numbers(2, 6, seed=2)
MAX = float(np.finfo(np.float32).max)


def elu(x, alpha):
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


# Of each activation: its arguments, its value, and Caffe2's gradient of x for that of y and y, all from its source.
FROM_RESULT = [
    (
        "LeakyRelu",
        {},
        lambda x: np.maximum(x, 0) + 0.01 * np.minimum(x, 0),
        lambda dy, y: dy * np.where(y >= 0, 1, 0.01),
    ),
    (
        "LeakyRelu",
        {"alpha": 0.5},
        lambda x: np.maximum(x, 0) + 0.5 * np.minimum(x, 0),
        lambda dy, y: dy * np.where(y >= 0, 1, 0.5),
    ),
    ("Elu", {}, lambda x: elu(x, 1), lambda dy, y: dy * np.where(y < 0, y + 1, 1)),
    ("Elu", {"alpha": 0.3}, lambda x: elu(x, 0.3), lambda dy, y: dy * np.where(y < 0, y + 0.3, 1)),
    (
        "Selu",
        {},
        lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
        lambda dy, y: dy * np.where(y > 0, 1.0507009873554805, y + 1.0507009873554805 * 1.6732632423543772),
    ),
    (
        "Selu",
        {"alpha": 0.5, "scale": 2.0},
        lambda x: 2 * elu(x, 0.5),
        lambda dy, y: dy * np.where(y > 0, 2, y + 1),
    ),
    ("ReluN", {}, lambda x: np.clip(x, 0, 6), lambda dy, y: dy * ((y > 0) & (y < 6))),
    ("ReluN", {"n": 1.5}, lambda x: np.clip(x, 0, 1.5), lambda dy, y: dy * ((y > 0) & (y < 1.5))),
    ("ThresholdedRelu", {}, lambda x: np.where(x > 1, x, 0), lambda dy, y: dy * np.sign(y)),
    ("ThresholdedRelu", {"alpha": -2.5}, lambda x: np.where(x > -2.5, x, 0), lambda dy, y: dy * np.sign(y)),
    ("Clip", {}, lambda x: x, lambda dy, y: dy),
    ("Clip", {"min": -1.0, "max": 1.5}, lambda x: np.clip(x, -1, 1.5), lambda dy, y: dy * ((y > -1) & (y < 1.5))),
    ("Clip", {"min": 1.0, "max": -1.0}, lambda x: np.full_like(x, -1), lambda dy, y: dy * 0),
    ("HardSigmoid", {}, lambda x: np.clip(0.2 * x + 0.5, 0, 1), lambda dy, y: dy * 0.2 * ((y > 0) & (y < 1))),
    (
        "HardSigmoid",
        {"alpha": 0.5, "beta": 0.25},
        lambda x: np.clip(0.5 * x + 0.25, 0, 1),
        lambda dy, y: dy * 0.5 * ((y > 0) & (y < 1)),
    ),
    ("Softplus", {}, lambda x: np.log(1 + np.exp(x)), lambda dy, y: dy * (1 - np.exp(-y))),
    ("Relu", {}, lambda x: np.maximum(x, 0), lambda dy, y: dy * (y > 0)),
    ("Sigmoid", {}, lambda x: 1 / (1 + np.exp(-x)), lambda dy, y: dy * y * (1 - y)),
    ("Tanh", {}, np.tanh, lambda dy, y: dy * (1 - y * y)),
]
IDS = [f"{name} {arguments}" for name, arguments, *_ in FROM_RESULT]


@pytest.mark.parametrize(("name", "arguments", "value", "gradient"), FROM_RESULT, ids=IDS)
@pytest.mark.parametrize("output", ["Y", "A"])
def test_value_and_gradient_from_the_result(name, arguments, value, gradient, output):
    operator = OneOperator(name, X, outputs=(output,), **arguments)
    expected = value(X.astype(np.float64))
    close(operator.run()[0], expected)
    if output == "Y":
        close(operator.gradients(DY)[0], gradient(DY.astype(np.float64), expected))


def test_softplus_overflows_and_its_gradient_does_not():
    operator = OneOperator("Softplus", np.array([88, 89, 200], np.float32))
    np.testing.assert_array_equal(operator.run()[0] == np.inf, [False, True, True])
    close(operator.gradients(np.array([1, 2, 3], np.float32))[0], [1, 2, 3])


def test_clips_bounds_are_the_largest_numbers():
    np.testing.assert_array_equal(run("Clip", np.array([-np.inf, np.inf], np.float32)), np.float32([-MAX, MAX]))


def test_relu_has_no_slope():
    np.testing.assert_array_equal(run("Relu", X, negative_slope=0.5), np.maximum(X, 0))


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shared", [False, True])
def test_prelu(order, shared):
    x, slope, dy = numbers(2, 3, 4, 3), numbers(1 if shared else 3, seed=2), numbers(2, 3, 4, 3, seed=3)
    x[0, 0, 0, :2] = 0
    operator = OneOperator("PRelu", x, slope, order=order)
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    factors = np.broadcast_to(slope, 3).reshape((3, 1, 1) if order == "NCHW" else (3,))
    close(operator.run()[0], np.where(x > 0, x, factors * x))
    dx, dslope = operator.gradients(dy)
    close(dx, np.where(x > 0, dy, factors * dy))
    each = np.where(x > 0, 0, dy * x).sum((0, 2, 3) if order == "NCHW" else (0, 1, 2))
    close(dslope, each.sum(keepdims=True) if shared else each, 1e-4)


def test_smooth_functions():
    x, dy = numbers(2, 6), numbers(2, 6, seed=2)
    wide, g = x.astype(np.float64), dy.astype(np.float64)
    sigmoid = 1 / (1 + np.exp(-wide))
    swish = OneOperator("Swish", x)
    close(swish.run()[0], wide * sigmoid)
    close(swish.gradients(dy)[0], g * (sigmoid + wide * sigmoid * (1 - sigmoid)))
    softsign = OneOperator("Softsign", x)
    close(softsign.run()[0], wide / (1 + np.abs(wide)))
    close(softsign.gradients(dy)[0], g / (1 + np.abs(wide)) ** 2)
    normal = np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(wide)
    gelu = OneOperator("Gelu", x)
    close(gelu.run()[0], wide * normal)
    close(gelu.gradients(dy)[0], g * (normal + wide * np.exp(-wide * wide / 2) / math.sqrt(2 * math.pi)))
    inner = np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))
    close(run("Gelu", x, fast_gelu=1), wide * (1 + inner) / 2)


def test_logit_outside_its_range_has_no_gradient():
    x = np.array([-1, 0, 0.1, 0.25, 0.5, 0.9, 1], np.float32)
    operator = OneOperator("Logit", x, eps=0.2)
    inside = np.clip(x.astype(np.float64), 0.2, 0.8)
    close(operator.run()[0], np.log(inside / (1 - inside)))
    expected = np.where((x < 0.2) | (x > 0.8), 0, 1 / np.where(x == inside, x * (1 - x), 1))
    close(operator.gradients(np.ones(7, np.float32))[0], expected)
    close(run("Logit", np.zeros(1, np.float32)), [math.log(1e-6)], 1e-4)


@pytest.mark.parametrize(("dim", "axis"), [({}, 2), ({"dim": 1}, 1), ({"dim": 0}, 0)])
def test_glu(dim, axis):
    x = numbers(2, 4, 6)
    a, b = np.split(x.astype(np.float64), 2, axis)
    close(run("Glu", x, **dim), a / (1 + np.exp(-b)))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_is_over_all_axes_from_its_axis_on(axis):
    x, dy = numbers(2, 3, 4), numbers(2, 3, 4, seed=2)
    operator = OneOperator("Softmax", x, axis=axis)
    rows = x.astype(np.float64).reshape(*x.shape[: axis % 3], -1)
    y = np.exp(rows - rows.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    close(operator.run()[0], y.reshape(x.shape))
    g = dy.astype(np.float64).reshape(rows.shape)
    close(operator.gradients(dy)[0], (y * (g - (g * y).sum(-1, keepdims=True))).reshape(x.shape))


def test_the_whole_image_is_one_softmax():
    assert run("Softmax", numbers(2, 3, 4, 5)).sum() == pytest.approx(2)


def test_empty_blobs():
    empty = np.zeros((0, 4), np.float32)
    for name in ("Relu", "LeakyRelu", "Elu", "Clip", "Softplus", "Swish", "Softmax", "Sigmoid"):
        assert run(name, empty).shape == (0, 4)


REFUSED = [
    ("ReluN", (X,), {"n": 0.0}, "E103", "`n` is 0"),
    ("Selu", (X,), {"scale": 1.0}, "E103", "`scale` is 1"),
    ("Logit", (X,), {"eps": 0.5}, "E103", "`eps` is 0.5"),
    ("Glu", (numbers(2, 3),), {}, "E102", "cannot be halved along axis 1"),
    ("Glu", (X,), {"dim": 2}, "E103", "out of range"),
    ("Glu", (X,), {"dim": -2}, "E103", "`dim` is -2"),
    ("PRelu", (numbers(2, 3, 4), numbers(4)), {}, "E102", "4 slopes for the 3 channels"),
    ("PRelu", (numbers(3), numbers(1)), {}, "E102", "no channel axis"),
    ("PRelu", (numbers(2, 3), numbers(1)), {"order": "NCWH"}, "E103", "`order` is `NCWH`"),
    ("Softmax", (X,), {"axis": 2}, "E103", "out of range"),
    ("Softmax", (X.astype(np.float64),), {}, "E107", "has type float64"),
    ("LeakyRelu", (X,), {"alpha": 1}, "E006", "`alpha` is an integer"),
    ("Elu", (X.astype(np.int32),), {}, "E107", "has type int32, expected float32"),
]


@pytest.mark.parametrize(("name", "arrays", "arguments", "code", "words"), REFUSED)
def test_refused(name, arrays, arguments, code, words):
    with refused(code, words):
        run(name, *arrays, **arguments)


@pytest.mark.parametrize("name", ["Softmax", "Swish", "Gelu", "Glu"])
def test_not_in_place(name):
    with refused("E023", "cannot write output 0 to the blob of input 0"):
        run(name, X, outputs=("A",))


def test_a_rectifier_of_unknown_shape_overwrites_its_bottom():
    def ops(first: str) -> Source:
        rest = 'op { input: "B" output: "B" type: "Relu" } op { input: "B" output: "C" type: "Scale" }'
        return Source("net.pbtxt", text(first, ["A"], ["B"]).replace(" external", f" {rest} external", 1))

    assert overwritten(netc.load(ops("Negative")), X)
    assert not overwritten(netc.load(ops("Exp")), X)
