import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.operators._broadcasting import legacy_span, numpy_shape
from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

A = numbers(2, 3, 4, 5)


def repeated(a, b, axis):
    """Caffe2's older rule, element by element: `pre`, `n` and `post` of ComputeLegacyBroadcastSizes."""
    if b.size == 1:
        return np.full(a.shape, b.reshape(-1)[0])
    start = a.ndim - b.ndim if axis == -1 else axis
    first = next(i for i, extent in enumerate(b.shape) if extent != 1)
    last = next(i for i in reversed(range(b.ndim)) if b.shape[i] != 1)
    pre = int(np.prod(a.shape[: start + first]))
    post = int(np.prod(a.shape[start + last + 1 :]))
    n = int(np.prod(b.shape[first : last + 1]))
    assert pre * n * post == a.size
    return np.broadcast_to(b.reshape(1, n, 1), (pre, n, post)).reshape(a.shape)


def summed(g, a_shape, b, axis):
    """The gradient of B: that of every element which it was repeated to."""
    index = repeated(np.zeros(a_shape), np.arange(b.size, dtype=float).reshape(b.shape), axis).astype(int)
    return np.bincount(index.reshape(-1), g.reshape(-1), b.size).reshape(b.shape)


LEGACY = [
    ((5,), {}),
    ((4, 5), {}),
    ((2, 3, 4, 5), {}),
    ((3,), {"axis": 1}),
    ((3, 4), {"axis": 1}),
    ((2,), {"axis": 0}),
    ((1, 3, 1), {"axis": 0}),
    ((3, 1), {"axis": 1}),
    ((1, 1, 5), {}),
    ((1,), {}),
    ((), {}),
    ((1, 1, 1, 1, 1), {}),
    ((3,), {"axis_str": "C"}),
    ((5,), {"axis_str": "C", "order": "NHWC"}),
    ((4, 5), {"axis_str": "H"}),
]
AXES = {"C": 1, "H": 2, "C NHWC": 3}


def axis_of(arguments):
    if "axis_str" not in arguments:
        return arguments.get("axis", -1)
    return AXES[" ".join(filter(None, (arguments["axis_str"], arguments.get("order"))))]


@pytest.mark.parametrize(("shape", "arguments"), LEGACY, ids=str)
def test_the_older_rule(shape, arguments):
    b, dy = numbers(*shape, seed=2) + 3, numbers(*A.shape, seed=3)
    axis = axis_of(arguments)
    operator = OneOperator("Sub", A, b, broadcast=1, **arguments)
    close(operator.run()[0], A - repeated(A, b, axis))
    da, db = operator.gradients(dy)
    close(da, dy)
    close(db, -summed(dy, A.shape, b, axis), 1e-4)
    operator = OneOperator("Div", A, b, broadcast=1, **arguments)
    wide = repeated(A, b.astype(np.float64), axis)
    close(operator.run()[0], A / wide)
    da, db = operator.gradients(dy)
    close(da, dy / wide)
    close(db, summed(-dy * A / wide**2, A.shape, b, axis), 1e-4)
    close(run("SumReduceLike", A, b, **arguments), summed(A, A.shape, b, axis), 1e-4, 1e-5)


NUMPY = [
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((), (2, 3)),
    ((1,), ()),
    ((0, 3), (1, 3)),
]


@pytest.mark.parametrize(("first", "second"), NUMPY, ids=str)
def test_numpys_rule(first, second):
    a, b = numbers(*first), numbers(*second, seed=2)
    operator = OneOperator("Mul", a, b, axis=7)
    close(operator.run()[0], a * b)
    dy = numbers(*(a * b).shape, seed=3)
    da, db = operator.gradients(dy)
    a, b = np.broadcast_arrays(a, b)

    def back(g, shape):
        g = g.sum(tuple(range(g.ndim - len(shape))))
        return g.sum(tuple(i for i, extent in enumerate(shape) if extent == 1), keepdims=True)

    close(da, back(dy * b, first), 1e-4)
    close(db, back(dy * a, second), 1e-4)


def test_shapes_with_unknown_extents():
    assert numpy_shape("Add", ((UNKNOWN, 3), (UNKNOWN, 1))) == (UNKNOWN, 3)
    assert numpy_shape("Add", ((UNKNOWN,), (4,))) == (4,)
    assert numpy_shape("Add", ((UNKNOWN,), (1,))) == (UNKNOWN,)
    assert legacy_span("Add", (2, UNKNOWN), (UNKNOWN, UNKNOWN, UNKNOWN), -1) == (0, 0)
    assert legacy_span("Add", (2, UNKNOWN, 4), (UNKNOWN,), 1) == (1, 2)


def test_integers():
    a, b = np.array([-7, 7, 8], np.int64), np.array([2, -2, 3], np.int64)
    for name, expected in (("Add", a + b), ("Sub", a - b), ("Mul", a * b), ("Div", [-3, -3, 2])):
        found = run(name, a, b)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(run("Div", a.astype(np.int32), np.array([2], np.int32), broadcast=1), [-3, 3, 4])
    with refused("E301", "division of an integer by"):
        run("Div", a, np.zeros(3, np.int64))


COMPARISONS = {"EQ": np.equal, "NE": np.not_equal, "LT": np.less, "LE": np.less_equal, "GT": np.greater}


@pytest.mark.parametrize("dtype", ["int32", "float32", "bool"])
def test_comparisons(dtype):
    a, b = np.array([[0, 1, 2], [2, 1, 0]]).astype(dtype), np.array([1, 1, 0]).astype(dtype)
    for name, function in {**COMPARISONS, "GE": np.greater_equal}.items():
        found = run(name, a, b, broadcast=1)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, function(a, b))


def test_logic():
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    for name, function in {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}.items():
        np.testing.assert_array_equal(run(name, a, b), function(a, b))
        np.testing.assert_array_equal(run(name, a, b, outputs=("A",)), function(a, b))
    x, y = np.array([12, 10], np.int32), np.array([10, 3], np.int32)
    for name, function in {
        "BitwiseAnd": np.bitwise_and,
        "BitwiseOr": np.bitwise_or,
        "BitwiseXor": np.bitwise_xor,
    }.items():
        np.testing.assert_array_equal(run(name, x, y), function(x, y))
        np.testing.assert_array_equal(run(name, a, b), function(a, b))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0, 0.5, -0.5, -1.0, 1.7])
def test_powers(exponent):
    x, dy = np.abs(numbers(2, 3)) + 0.1, numbers(2, 3, seed=2)
    operator = OneOperator("Pow", x, exponent=exponent)
    wide = x.astype(np.float64)
    close(operator.run()[0], wide**exponent)
    close(operator.gradients(dy)[0], dy * exponent * wide ** (exponent - 1))
    close(run("Pow", x, outputs=("A",), exponent=exponent), wide**exponent)


def test_powers_of_a_second_input():
    a, b, dy = np.abs(numbers(2, 3)) + 0.1, numbers(3, seed=2), numbers(2, 3, seed=3)
    wide = a.astype(np.float64)
    for arguments in ({"broadcast": 1}, {}):
        operator = OneOperator("Pow", a, b, **arguments)
        close(operator.run()[0], wide**b)
        da, db = operator.gradients(dy)
        close(da, dy * b * wide ** (b - 1))
        close(db, (dy * wide**b * np.log(wide)).sum(0))


def test_in_place():
    a, b = numbers(2, 3), numbers(2, 3, seed=2)
    np.testing.assert_array_equal(run("Add", a, b, outputs=("A",)), a + b)
    np.testing.assert_array_equal(run("Sub", a, b, outputs=("B",)), a - b)
    with refused("E023", "cannot write output 0 to the blob of input 1"):
        run("Div", a, b, outputs=("B",))
    with refused("E023", "`Mul` with `broadcast: 1` cannot write"):
        run("Mul", a, b[0], outputs=("B",), broadcast=1)
    with refused("E102", "the blob that it overwrites [3]"):
        run("Add", a, b[0], outputs=("B",))
    with refused("E023", "cannot write output 0"):
        run("LT", a, b, outputs=("A",))


F = numbers(2, 3)
REFUSED = [
    ("Add", (F, numbers(2)), {}, "E102", "cannot combine inputs of shapes [2,3] and [2]"),
    ("Add", (F, numbers(2)), {"broadcast": 1}, "E102", "cannot broadcast [2] to [2,3] at axis 1"),
    ("Add", (F, numbers(3)), {"broadcast": 1, "axis": 2}, "E103", "`axis: 2` of `Add` is out of range"),
    ("Add", (F, numbers(3)), {"broadcast": 1, "axis": -2}, "E103", "`axis: -2` of `Add` is out of range"),
    ("Add", (F, numbers(4, 2, 3)), {"broadcast": 1}, "E102", "has fewer axes"),
    ("Add", (A, numbers(3, 1, 5)), {"broadcast": 1}, "E102", "cannot broadcast [3,1,5] to [2,3,4,5]"),
    ("Add", (A, numbers(3)), {"broadcast": 1, "axis": 1, "axis_str": "C"}, "E101", "exclude each other"),
    ("Add", (A, numbers(3)), {"broadcast": 1, "axis_str": "D"}, "E103", "must be a letter of `order`, NCHW"),
    ("Add", (A, numbers(3)), {"broadcast": 1, "axis_str": "NC"}, "E103", "must be a letter"),
    ("Add", (F, F.astype(np.float64)), {}, "E107", "input 1 of `Add` has type float64, but input 0 has float32"),
    ("And", (F, F), {}, "E107", "expected bool"),
    ("Pow", (F,), {}, "E101", "requires the argument `exponent`"),
    ("Pow", (F, F, F), {"exponent": 2.0}, "E020", "`Pow` expects 1 or 2 inputs, got 3"),
    ("SumReduceLike", (F, numbers(2)), {}, "E102", "cannot broadcast [2] to [2,3]"),
]


@pytest.mark.parametrize(("name", "arrays", "arguments", "code", "words"), REFUSED)
def test_refused(name, arrays, arguments, code, words):
    with refused(code, words):
        run(name, *arrays, **arguments)
