import math

import numpy as np
import pytest

from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

X = np.array([[-0.875, -0.5, 0.25], [0.5, 0.75, 0.9375]], np.float32)
POSITIVE = np.array([0.125, 0.5, 1, 2, 30], np.float32)
DY = numbers(2, 3, seed=2)

# Of each function: NumPy's, and its derivative of x and y.
SIGNED = {
    "Abs": (np.abs, lambda x, y: np.sign(x)),
    "Acos": (np.arccos, lambda x, y: -1 / np.sqrt(1 - x * x)),
    "Asin": (np.arcsin, lambda x, y: 1 / np.sqrt(1 - x * x)),
    "Atan": (np.arctan, lambda x, y: 1 / (1 + x * x)),
    "Cbrt": (np.cbrt, lambda x, y: 1 / (3 * y * y)),
    "Ceil": (np.ceil, lambda x, y: 0 * x),
    "Cos": (np.cos, lambda x, y: -np.sin(x)),
    "Cosh": (np.cosh, lambda x, y: np.sinh(x)),
    "Cube": (lambda x: x**3, lambda x, y: 3 * x * x),
    "Erf": (np.vectorize(math.erf), lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x)),
    "Exp": (np.exp, lambda x, y: y),
    "Floor": (np.floor, lambda x, y: 0 * x),
    "Negative": (np.negative, lambda x, y: -1 + 0 * x),
    "Sign": (np.sign, lambda x, y: 0 * x),
    "Sin": (np.sin, lambda x, y: np.cos(x)),
    "Sinh": (np.sinh, lambda x, y: np.cosh(x)),
    "Sqr": (np.square, lambda x, y: 2 * x),
    "Tan": (np.tan, lambda x, y: 1 + y * y),
}
OF_POSITIVE = {
    "Log": (np.log, lambda x, y: 1 / x),
    "Reciprocal": (np.reciprocal, lambda x, y: -y * y),
    "Rsqrt": (lambda x: x**-0.5, lambda x, y: -0.5 * y**3),
    "Sqrt": (np.sqrt, lambda x, y: 0.5 / y),
}
IN_PLACE = "Cbrt Ceil Exp Floor Log Negative Reciprocal Rsqrt Sqr Sqrt".split()
CASES = [(name, X, *both) for name, both in SIGNED.items()] + [
    (name, POSITIVE, *both) for name, both in OF_POSITIVE.items()
]


@pytest.mark.parametrize(("name", "x", "function", "derivative"), CASES, ids=[case[0] for case in CASES])
def test_value_and_gradient(name, x, function, derivative):
    operator = OneOperator(name, x)
    wide, dy = x.astype(np.float64), numbers(*x.shape, seed=2)
    y = function(wide)
    close(operator.run()[0], y)
    close(operator.gradients(dy)[0], dy * derivative(wide, y))
    if name in IN_PLACE:
        close(OneOperator(name, x, outputs=("A",)).run()[0], y)
    else:
        with refused("E023", "cannot write output 0"):
            run(name, x, outputs=("A",))


def test_cube_roots_of_zero_and_of_negative_numbers():
    operator = OneOperator("Cbrt", np.array([-8, 0, 27], np.float32))
    close(operator.run()[0], [-2, 0, 3])
    np.testing.assert_allclose(operator.gradients(np.ones(3, np.float32))[0], [1 / 12, np.inf, 1 / 27], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
def test_numbers_of_other_types(dtype):
    x = np.array([-3, 0, 2], dtype)
    np.testing.assert_array_equal(run("Negative", x), -x)
    np.testing.assert_array_equal(run("Sign", x), np.sign(x))
    np.testing.assert_array_equal(run("Cube", x), x**3)
    if dtype != "float64":
        assert run("Cube", x).dtype == dtype
    with refused("E107", f"has type {dtype}, expected float32"):
        run("Abs", x)


def test_not():
    found = run("Not", np.array([True, False]))
    assert found.dtype == bool
    np.testing.assert_array_equal(found, [False, True])
    with refused("E107", "expected bool"):
        run("Not", X)


def test_scale():
    operator = OneOperator("Scale", X, scale=-2.5)
    close(operator.run()[0], -2.5 * X)
    close(operator.gradients(DY)[0], -2.5 * DY)
    np.testing.assert_array_equal(run("Scale", X, outputs=("A",)), X)


@pytest.mark.parametrize("divisor", [3, -3])
@pytest.mark.parametrize("follow", [0, 1])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_mod(divisor, follow, dtype):
    x = np.arange(-7, 8, dtype=dtype)
    expected = [int(v) % divisor if follow else int(math.fmod(v, divisor)) for v in x]
    found = run("Mod", x, divisor=divisor, sign_follow_divisor=follow)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_nan():
    x = np.array([[np.nan, 1], [np.inf, np.nan]], np.float32)
    np.testing.assert_array_equal(run("ReplaceNaN", x), [[0, 1], [np.inf, 0]])
    np.testing.assert_array_equal(run("ReplaceNaN", x, value=2.5), [[2.5, 1], [np.inf, 2.5]])
    found = run("IsNaN", x.astype(np.float64))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(run("NanCheck", X, POSITIVE), X)
    for bad in (np.nan, -np.inf):
        with refused("E301", "a value that is not finite"):
            run("NanCheck", np.array([1, bad], np.float32))


def test_refused():
    with refused("E103", "`divisor` is 0"):
        run("Mod", np.arange(3))
    with refused("E107", "expected int32 or int64"):
        run("Mod", X, divisor=2)
    with refused("E107", "expected float32 or float64"):
        run("IsNaN", np.arange(3))
