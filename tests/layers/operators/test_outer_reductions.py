import numpy as np
import pytest

from tests.layers.operators.nets import OneOperator, close, numbers, refused, run

X = numbers(3, 2, 4)
X[0, 0] = X[2, 0] = 9
X[1, 1, :] = 7
KINDS = ("Sum", "Mean", "Max")


def reduced(kind, rows, lengths, dy):
    """(result, gradient of rows) for each column of (rows, columns), as Caffe2's loops."""
    y, dx = np.zeros(rows.shape[1]), np.zeros(rows.shape)
    for j in range(rows.shape[1]):
        length = lengths[j]
        column = rows[: max(length, 1), j]
        y[j] = column.max() if kind == "Max" else column.sum()
        for i in range(length):
            dx[i, j] = dy[j] * (rows[i, j] == y[j]) if kind == "Max" else dy[j]
        if kind == "Mean":
            with np.errstate(divide="ignore"):
                y[j] = np.divide(y[j], length)
            dx[:length, j] /= max(length, 1)
    return y, dx


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("front", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_without_lengths(kind, front, count):
    operator = OneOperator(f"Reduce{'Front' if front else 'Back'}{kind}", X, num_reduce_dim=count)
    shape = X.shape[count:] if front else X.shape[: 3 - count]
    rows = X.reshape(-1, int(np.prod(shape))) if front else X.reshape(int(np.prod(shape)), -1).T
    dy = numbers(*shape, seed=2)
    y, dx = reduced(kind, rows.astype(np.float64), [len(rows)] * rows.shape[1], dy.reshape(-1))
    close(operator.run()[0], y.reshape(shape))
    close(operator.gradients(dy)[0], (dx if front else dx.T).reshape(X.shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("front", [True, False])
def test_with_lengths(kind, front):
    lengths = np.array([3, 0, 1, 2, 3, 0, 2, 1] if front else [4, 0, 1, 2, 3, 4], np.int32)
    operator = OneOperator(f"Reduce{'Front' if front else 'Back'}{kind}", X, lengths)
    shape = (2, 4) if front else (3, 2)
    rows = X.reshape(3, 8) if front else X.reshape(6, 4).T
    dy = numbers(*shape, seed=2)
    y, dx = reduced(kind, rows.astype(np.float64), lengths, dy.reshape(-1))
    close(operator.run()[0], y.reshape(shape))
    close(operator.gradients(dy, wrt=[0])[0], (dx if front else dx.T).reshape(X.shape))


def test_integers_and_empty_blobs():
    x = np.array([[1, 5], [-4, 2]], np.int32)
    for name, expected in (("ReduceFrontSum", [-3, 7]), ("ReduceFrontMean", [-1, 3]), ("ReduceBackMean", [3, -1])):
        found = run(name, x)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)
    for kind in KINDS:
        np.testing.assert_array_equal(run(f"ReduceFront{kind}", np.zeros((0, 2), np.float32)), [0, 0])


REFUSED = [
    ((X,), {"num_reduce_dim": 4}, "E103", "`num_reduce_dim: 4` of `ReduceFrontMax` is out of range for X[3,2,4]"),
    ((X,), {"num_reduce_dim": -1}, "E103", "out of range"),
    ((X.astype(np.int32),), {}, "E107", "expected float32"),
    ((X, np.zeros(8, np.int32)), {"num_reduce_dim": 2}, "E103", "with lengths `num_reduce_dim` must be 1, not 2"),
    ((X, np.zeros(7, np.int32)), {}, "E102", "7 lengths for 8 results"),
    ((X, np.zeros(8, np.int64)), {}, "E107", "expected int32"),
    ((X, np.full(8, 4, np.int32)), {}, "E301", "length outside 0 to 3"),
]


@pytest.mark.parametrize(("arrays", "arguments", "code", "words"), REFUSED)
def test_refused(arrays, arguments, code, words):
    with refused(code, words):
        run("ReduceFrontMax", *arrays, **arguments)
