import numpy as np
import pytest

from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

X = numbers(2, 6, 3, 4)
FACTOR, ADDEND = numbers(6, seed=2), numbers(6, seed=3)
DY = numbers(2, 6, 3, 4, seed=4)


def nhwc(x):
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def ordered(order, *arrays):
    return [nhwc(a) if order == "NHWC" else a for a in arrays]


def planes(values):
    return values.astype(np.float64).reshape(1, -1, 1, 1)


def normalized_gradient(g, x_hat, inverse, axes):
    """That of x where x_hat = (x - mean) / sqrt(variance + eps), for the gradient of x_hat."""
    return inverse * (g - g.mean(axes, keepdims=True) - x_hat * (g * x_hat).mean(axes, keepdims=True))


def scale(x, size, alpha, bias):
    """bias + alpha / size times the sum of squares over `size` channels, axis 1."""
    return bias + alpha / size * np.stack(
        [(x[:, max(c - size // 2, 0) : c + size // 2 + 1] ** 2).sum(1) for c in range(x.shape[1])], 1
    )


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [1, 3, 9])
@pytest.mark.parametrize("beta", [0.75, 0.5])
def test_local_response(order, size, beta):
    wide, g = X.astype(np.float64), DY.astype(np.float64)
    factors = scale(wide, size, 0.3, 2.0)
    y = wide * factors**-beta
    ratios = 2 * 0.3 * beta * (scale_of_ratios(g * y / factors, size))
    arguments = {"size": size, "alpha": 0.3, "beta": beta, "bias": 2.0, "order": order}
    x, dy, *expected = ordered(order, X, DY, y, factors, g * factors**-beta - ratios * wide)
    operator = OneOperator("LRN", x, outputs=("Y", "Z"), **arguments)
    for found, one in zip([*operator.run(), *operator.gradients(dy)], expected):
        close(found, one)
    close(run("LRN", x, **arguments), expected[0])


def scale_of_ratios(ratios, size):
    return (
        np.stack([ratios[:, max(c - size // 2, 0) : c + size // 2 + 1].sum(1) for c in range(ratios.shape[1])], 1)
        / size
    )


def groups(x, count, eps):
    n, channels = x.shape[:2]
    parts = x.reshape(n, count, channels // count, *x.shape[2:])
    axes = tuple(range(2, parts.ndim))
    inverse = 1 / np.sqrt(parts.var(axes, keepdims=True) + eps)
    return parts, (parts - parts.mean(axes, keepdims=True)) * inverse, inverse, axes


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("name", "arguments", "count"), [("InstanceNorm", {}, 6), ("GroupNorm", {"group": 3}, 3)])
def test_groups(order, name, arguments, count):
    wide, g = X.astype(np.float64), DY.astype(np.float64)
    parts, x_hat, inverse, axes = groups(wide, count, 0.01)
    hat = x_hat.reshape(X.shape)
    y = hat * planes(FACTOR) + planes(ADDEND)
    dx = normalized_gradient((g * planes(FACTOR)).reshape(parts.shape), x_hat, inverse, axes).reshape(X.shape)
    x, dy, y, dx = ordered(order, X, DY, y, dx)
    operator = OneOperator(name, x, FACTOR, ADDEND, outputs=("Y", "M", "R"), epsilon=0.01, order=order, **arguments)
    top, mean, root = operator.run()
    close(top, y)
    close(mean, parts.mean(axes))
    close(root, inverse.reshape(2, count))
    found = operator.gradients(dy)
    for one, expected in zip(found, (dx, (g * hat).sum((0, 2, 3)), g.sum((0, 2, 3)))):
        close(one, expected, 1e-4, 1e-5)
    close(run(name, x, FACTOR, ADDEND, epsilon=0.01, order=order, **arguments), y)


def test_default_epsilons_and_other_ranks():
    x = numbers(3, 4, 5)
    _, hat, *_ = groups(x.astype(np.float64), 4, 1e-5)
    one, none = np.ones(4, np.float32), np.zeros(4, np.float32)
    close(run("InstanceNorm", x, one, none, outputs=("A",)), hat.reshape(x.shape))
    assert run("InstanceNorm", x[:0], one, none).shape == (0, 4, 5)
    _, hat, *_ = groups(numbers(2, 64).astype(np.float64), 32, 1e-5)
    close(run("GroupNorm", numbers(2, 64), np.ones(64, np.float32), np.zeros(64, np.float32)), hat.reshape(2, 64), 1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("affine", [0, 1])
def test_layers(axis, affine):
    x, dy = numbers(2, 3, 4), numbers(2, 3, 4, seed=4)
    shape = x.shape[axis % 3 :]
    factor, addend = numbers(*shape, seed=2).reshape(-1), numbers(*shape, seed=3).reshape(-1)
    axes = tuple(range(axis % 3, 3))
    wide, g = x.astype(np.float64), dy.astype(np.float64)
    root = np.sqrt(wide.var(axes, keepdims=True) + 0.01)
    hat = (wide - wide.mean(axes, keepdims=True)) / root
    scale = factor.reshape(shape) if affine else 1
    operator = OneOperator(
        "LayerNorm", x, factor, addend, outputs=("Y", "M", "S"), axis=axis, epsilon=0.01, elementwise_affine=affine
    )
    top, mean, deviation = operator.run()
    close(top, hat * scale + (addend.reshape(shape) if affine else 0))
    moments = (*x.shape[: axis % 3], 1)
    close(mean, wide.mean(axes).reshape(moments))
    close(deviation, root.reshape(moments))
    outer = tuple(range(axis % 3))
    dx, dfactor, daddend = operator.gradients(dy)
    close(dx, normalized_gradient(g * scale, hat, 1 / root, axes), 1e-4, 1e-5)
    close(dfactor, (g * hat).sum(outer).reshape(-1) * affine, 1e-4)
    close(daddend, g.sum(outer).reshape(-1) * affine, 1e-4)


THREE = ("Y", "M", "S")
REFUSED = [
    ("LRN", (X,), {"size": 4}, ("Y",), "E103", "`size` is 4: it must be an odd number"),
    ("LRN", (X,), {}, ("Y",), "E103", "`size` is 0"),
    ("LRN", (X[0],), {"size": 3}, ("Y",), "E102", "expected 4 axes"),
    ("LRN", (X,), {"size": 3, "alpha": 1}, ("Y",), "E006", "`alpha` is an integer"),
    ("InstanceNorm", (X, FACTOR[:5], ADDEND), {}, ("Y",), "E102", "input 1 of `InstanceNorm` has shape [5]"),
    ("InstanceNorm", (X, FACTOR, ADDEND), {"epsilon": -1.0}, ("Y",), "E103", "must not be negative"),
    ("InstanceNorm", (FACTOR, FACTOR, ADDEND), {}, ("Y",), "E102", "expects an X with at least 2 axes"),
    ("GroupNorm", (X, FACTOR, ADDEND), {"group": 4}, ("Y",), "E102", "cannot be divided into 4 groups"),
    ("GroupNorm", (X, FACTOR, ADDEND), {"num_groups": 3}, ("Y",), "E102", "cannot be divided into 32 groups"),
    ("GroupNorm", (X, FACTOR, ADDEND), {"group": 0}, ("Y",), "E103", "`group` is 0"),
    ("GroupNorm", (X, FACTOR, ADDEND), {"group": 3, "is_test": 0}, ("Y",), "E020", "expects 3 outputs, got 1"),
    ("GroupNorm", (X, FACTOR, ADDEND), {"group": 3}, ("A",), "E023", "cannot write output 0"),
    ("LayerNorm", (X,), {}, ("Y",), "E020", "expects 3 outputs, got 1"),
    ("LayerNorm", (FACTOR,), {"axis": 0}, THREE, "E102", "at least 2 axes"),
    ("LayerNorm", (X,), {"axis": 4}, THREE, "E103", "out of range"),
    ("LayerNorm", (X,), {"elementwise_affine": 1}, THREE, "E101", "needs factors and addends"),
    ("LayerNorm", (X, FACTOR), {}, THREE, "E020", "expects 1 or 3 inputs, got 2"),
    ("LayerNorm", (X, FACTOR, ADDEND), {"elementwise_affine": 1}, THREE, "E102", "has shape [6]"),
]


@pytest.mark.parametrize(("name", "arrays", "arguments", "outputs", "code", "words"), REFUSED)
def test_refused(name, arrays, arguments, outputs, code, words):
    with refused(code, words):
        run(name, *arrays, outputs=outputs, **arguments)
