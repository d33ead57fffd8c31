import numpy as np
import pytest

from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

X = numbers(2, 3, 4)
X[0, 0, :3] = X[0, 1, 1] = 9
X[1, 2, :2] = X[1, 0, 3] = -9
X[0, 2] = 0
FUNCTIONS = {
    "ReduceSum": np.sum,
    "ReduceMean": np.mean,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ReduceL1": lambda x, axis, keepdims: np.abs(x).sum(axis, keepdims=keepdims),
    "ReduceL2": lambda x, axis, keepdims: np.sqrt(np.square(x).sum(axis, keepdims=keepdims)),
}


def gradient(name, x, axes, dy):
    """Caffe2's, from `reduce_ops.cc`; dy and y with extent 1 along the axes."""
    y = FUNCTIONS[name](x, axis=axes, keepdims=True)
    if name == "ReduceSum":
        return np.broadcast_to(dy, x.shape)
    if name == "ReduceMean":
        return np.broadcast_to(dy, x.shape) * y.size / x.size
    if name == "ReduceL1":
        return dy * np.sign(x)
    if name == "ReduceL2":
        return dy * np.where(y < 1e-12, 0, x / np.maximum(y, 1e-12))
    return dy * (x == y)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("axes", [[], [0], [1], [-1], [0, 2], [2, 0], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("keep", [True, False])
def test_along_axes(name, axes, keep):
    arguments = {**({"axes": axes} if axes else {}), **({} if keep else {"keepdims": 0})}
    operator = OneOperator(name, X, **arguments)
    wide, where = X.astype(np.float64), tuple(axes) or (0, 1, 2)
    expected = FUNCTIONS[name](wide, axis=where, keepdims=keep)
    close(operator.run()[0], expected)
    dy = numbers(*np.shape(expected), seed=2)
    kept = dy.reshape(FUNCTIONS[name](wide, axis=where, keepdims=True).shape)
    close(operator.gradients(dy)[0], gradient(name, wide, where, kept))


def test_over_nothing():
    empty = np.zeros((0, 2), np.float32)
    largest = np.finfo(np.float32).max
    for name, expected in zip(FUNCTIONS, (0, 0, -largest, largest, 0, 0)):
        np.testing.assert_array_equal(run(name, empty, axes=[0], keepdims=0), np.full(2, expected, np.float32))


def test_scalars_and_integers():
    for name in FUNCTIONS:
        close(run(name, np.float32(-2)), 2.0 if name in ("ReduceL1", "ReduceL2") else -2.0)
    x = np.array([[1, 5], [2, 3]], np.int64)
    for name in ("ReduceSum", "ReduceMax", "ReduceMin"):
        found = run(name, x, axes=[1], keepdims=0)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, FUNCTIONS[name](x, axis=1, keepdims=False))


@pytest.mark.parametrize("axes", [[], [1], [0, 2]], ids=str)
@pytest.mark.parametrize("keep", [True, False])
def test_moments(axes, keep):
    arguments = {**({"axes": axes} if axes else {}), **({} if keep else {"keepdims": 0})}
    operator = OneOperator("Moments", X, outputs=("Y", "Z"), **arguments)
    wide, where = X.astype(np.float64), tuple(axes) or (0, 1, 2)
    mean, variance = wide.mean(where, keepdims=keep), wide.var(where, keepdims=keep)
    for found, expected in zip(operator.run(), (mean, variance)):
        close(found, expected)
    dm, dv = numbers(*np.shape(mean), seed=2), numbers(*np.shape(mean), seed=3)
    middle = wide.mean(where, keepdims=True)
    count = wide.size / middle.size
    expected = (dm.reshape(middle.shape) + 2 * dv.reshape(middle.shape) * (wide - middle)) / count
    close(operator.gradients(dm, dv)[0], expected)


@pytest.mark.parametrize("average", [0, 1])
def test_all_elements(average):
    wide, count = X.astype(np.float64), X.size if average else 1
    for name, arguments, value, derivative, shape in (
        ("SumElements", {}, wide.sum(), 1, ()),
        ("SumSqrElements", {}, (wide**2).sum(), 2 * wide, ()),
        ("LpNorm", {}, (wide**2).sum(), 2 * wide, (1,)),
        ("LpNorm", {"p": 1}, np.abs(wide).sum(), np.sign(wide), (1,)),
    ):
        operator = OneOperator(name, X, average=average, **arguments)
        close(operator.run()[0], np.full(shape, value / count))
        dy = np.full(shape, 3, np.float32)
        close(operator.gradients(dy)[0], np.broadcast_to(3 * np.asarray(derivative) / count, X.shape))
    found = run("SumElementsInt", np.arange(5, dtype=np.int32))
    assert (found.dtype, found.shape, int(found)) == (np.int32, (), 10)


def test_maxima_of_rows_and_columns():
    for name, axis in (("RowwiseMax", 2), ("ColwiseMax", 1)):
        operator = OneOperator(name, X)
        y = X.max(axis)
        close(operator.run()[0], y)
        dy = numbers(*y.shape, seed=2)
        expected = np.expand_dims(dy, axis) * (np.expand_dims(y, axis) == X)
        close(operator.gradients(dy)[0], expected)


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_sums_of_channels(order):
    axes = (0, 2) if order == "NCHW" else (0, 1)
    wide = X.astype(np.float64)
    sums, squares = OneOperator("ChannelStats", X, outputs=("Y", "Z"), order=order).run()
    close(sums, wide.sum(axes))
    close(squares, (wide**2).sum(axes))


REFUSED = [
    ("ReduceSum", X, {"axes": [3]}, "E103", "`axes: 3` of `ReduceSum` is out of range for 3 axes"),
    ("ReduceSum", X > 0, {}, "E107", "has type bool"),
    ("ReduceMean", X.astype(np.int32), {}, "E107", "expected float32"),
    ("LpNorm", X, {"p": 3}, "E103", "`p` is 3"),
    ("RowwiseMax", X[0], {}, "E102", "expected 3 axes"),
    ("ColwiseMax", X[:, :0], {}, "E102", "no elements"),
    ("SumElementsInt", X, {}, "E107", "expected int32"),
    ("ReduceSum", X, {"axes": 1}, "E006", "`axes` is an integer"),
]


@pytest.mark.parametrize(("name", "x", "arguments", "code", "words"), REFUSED)
def test_refused(name, x, arguments, code, words):
    with refused(code, words):
        run(name, x, **arguments)


def test_moments_count_axes_from_the_front():
    with refused("E103", "axes are counted from 0"):
        run("Moments", X, outputs=("Y", "Z"), axes=[-1])
    with refused("E020", "`Moments` expects 2 outputs, got 1"):
        run("Moments", X)
