import numpy as np
import pytest

import netc
from netc.diagnostics import Source
from tests.layers.operators.nets import OneOperator, close, numbers, refused, run, text

X = [numbers(2, 3, seed=seed) for seed in range(1, 4)]
DY = numbers(2, 3, seed=9)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("output", ["Y", "A"])
def test_sums(count, output):
    total = np.sum(np.float64(X[:count]), 0)
    operator = OneOperator("Sum", *X[:count], outputs=(output,))
    close(operator.run()[0], total)
    close(run("SumRelu", *X[:count], outputs=(output,)), np.maximum(total, 0))
    close(run("Mean", *X[:count], outputs=(output,)), total / count)
    if output == "Y":
        for found in operator.gradients(DY):
            close(found, DY)
        for found in OneOperator("SumRelu", *X[:count]).gradients(DY):
            close(found, DY * (total > 0))
        for found in OneOperator("Mean", *X[:count]).gradients(DY):
            close(found, DY / count)


def test_inputs_are_not_overwritten():
    operator = OneOperator("Sum", *X)
    before = [x.copy() for x in X]
    operator.run()
    for x, kept in zip(X, before):
        np.testing.assert_array_equal(x, kept)


def test_the_same_blob_twice():
    net = netc.load(Source("net.pbtxt", text("Sum", ["A", "A"], ["Y"])))
    close(net.run({"A": X[0]}, ["Y"])["Y"], 2 * X[0])
    with refused("E023", "cannot write output 0 to the blob of input 1"):
        netc.load(Source("net.pbtxt", text("Sum", ["A", "A"], ["A"])))


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
def test_other_types(dtype):
    a, b = np.array([-3, 4], dtype), np.array([2, -9], dtype)
    np.testing.assert_array_equal(run("Sum", a, b), a + b)
    np.testing.assert_array_equal(run("SumRelu", a, b), np.maximum(a + b, 0))
    np.testing.assert_array_equal(run("Max", a, b), np.maximum(a, b))


@pytest.mark.parametrize(("name", "choose"), [("Max", np.max), ("Min", np.min)])
def test_extremes_give_their_gradient_to_every_input_that_equals_them(name, choose):
    a, b, c = (np.float32(values) for values in ([1, 2, 3, 4], [1, 3, 2, 4], [1, 3, 3, 0]))
    operator = OneOperator(name, a, b, c)
    y = choose([a, b, c], 0)
    close(operator.run()[0], y)
    dy = np.float32([1, 2, 3, 4])
    for x, found in zip((a, b, c), operator.gradients(dy)):
        close(found, dy * (x == y))
    for found in operator.gradients(dy, wrt=[1]):
        close(found, dy * (b == y))
    np.testing.assert_array_equal(run(name, a), a)


def test_a_mean_repeats_its_inputs():
    a, b = numbers(3), numbers(2, 3, seed=2)
    operator = OneOperator("Mean", a, b)
    close(operator.run()[0], (a + b) / 2)
    da, db = operator.gradients(DY)
    close(da, DY.sum(0) / 2)
    close(db, DY / 2)
    with refused("E102", "the blob that it overwrites [3]"):
        run("Mean", a, b, outputs=("A",))


@pytest.mark.parametrize("learned", [0, 1])
def test_weighted_sums(learned):
    weights = [np.float32([0.5]), np.float32(-2), np.float32([[3]])]
    pairs = [X[0], weights[0], X[1].reshape(6), weights[1], X[2], weights[2]]
    operator = OneOperator("WeightedSum", *pairs, grad_on_w=learned)
    close(operator.run()[0], 0.5 * X[0] - 2 * X[1] + 3 * X[2])
    found = operator.gradients(DY)
    close(found[0], 0.5 * DY)
    close(found[2], -2 * DY.reshape(6))
    close(found[4], 3 * DY)
    for i in range(3):
        expected = (DY * X[i]).sum() if learned else 0
        close(found[2 * i + 1], np.full(weights[i].shape, expected), 1e-4)
    close(run("WeightedSum", *pairs[:2], outputs=("A",)), 0.5 * X[0])


def test_where():
    chosen = np.array([[True, False, True], [False, False, True]])
    operator = OneOperator("Where", chosen, X[0], X[1])
    close(operator.run()[0], np.where(chosen, X[0], X[1]))
    da, db = operator.gradients(DY, wrt=[1, 2])
    close(da, DY * chosen)
    close(db, DY * ~chosen)
    close(run("Where", chosen[0, :2], X[0], X[1], broadcast_on_rows=1), np.stack([X[0][0], X[1][1]]))
    found = run("Where", chosen, np.int64(X[0] * 9), np.int64(X[1] * 9))
    assert found.dtype == np.int64


REFUSED = [
    ("Sum", (X[0], numbers(3)), {}, "E102", "input 1 of `Sum` has shape [3], expected [2,3]"),
    ("Max", (X[0], X[1], numbers(2, 4)), {}, "E102", "input 2 of `Max` has shape [2,4], expected [2,3]"),
    ("Sum", (X[0], X[1].astype(np.float64)), {}, "E107", "input 1 of `Sum` has type float64"),
    ("Sum", (np.array([True]),), {}, "E107", "has type bool"),
    ("Mean", (np.arange(3),), {}, "E107", "expected float32"),
    ("Mean", (X[0], numbers(2)), {}, "E102", "cannot combine"),
    ("WeightedSum", (X[0], numbers(1), X[1]), {}, "E102", "expects pairs of inputs, got 3"),
    ("WeightedSum", (X[0], numbers(2)), {}, "E102", "input 1 of `WeightedSum` has shape [2], expected 1 element"),
    ("WeightedSum", (X[0], numbers(1), numbers(5), numbers(1)), {}, "E102", "has shape [5], expected 6 elements"),
    ("WeightedSum", (numbers(0), numbers(1)), {}, "E102", "no elements"),
    ("Where", (X[0], X[0], X[1]), {}, "E107", "input 0 of `Where` has type float32, expected bool"),
    ("Where", (X[0] > 0, X[0], X[1][0]), {}, "E102", "input 2 of `Where` has shape [3]"),
    (
        "Where",
        (X[0] > 0, X[0], X[1]),
        {"broadcast_on_rows": 1},
        "E102",
        "input 0 of `Where` has shape [2,3], expected [2]",
    ),
    ("Where", (X[0] > 0, X[0], np.arange(6).reshape(2, 3)), {}, "E107", "input 2 of `Where` has type int64"),
]


@pytest.mark.parametrize(("name", "arrays", "arguments", "code", "words"), REFUSED)
def test_refused(name, arrays, arguments, code, words):
    with refused(code, words):
        run(name, *arrays, **arguments)
