import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from tests.layers.contract import raises
from tests.layers.harness import gradcheck
from tests.layers.operators.windows import compute, made, numbers


@pytest.mark.parametrize(
    ("a", "b", "arguments"),
    [
        ((2, 3), (3, 4), {}),
        ((2, 3, 4), (12, 5), {}),
        ((2, 3, 4), (4, 5), {"axis_a": 2}),
        ((2, 3, 4), (3, 2, 5), {"axis_a": 2, "axis_b": 2, "trans_a": 1}),
        ((6, 5), (2, 3, 2, 2), {"trans_a": 1, "axis_b": 2}),
        ((3, 2), (4, 3), {"trans_a": 1, "trans_b": 1}),
        ((6,), (6, 2), {"axis_a": 0}),
    ],
)
def test_matmul(a, b, arguments):
    x, y = numbers(*a), numbers(*b, seed=2)
    p = x.reshape(int(np.prod(a[: arguments.get("axis_a", 1)])), -1)
    q = y.reshape(int(np.prod(b[: arguments.get("axis_b", 1)])), -1)
    expected = (p.T if arguments.get("trans_a") else p) @ (q.T if arguments.get("trans_b") else q)
    np.testing.assert_allclose(compute("MatMul", x, y, **arguments), expected, rtol=1e-10)
    assert gradcheck(made("MatMul", **arguments), a, b)


def test_a_third_input_gives_the_shape():
    x, y = numbers(2, 3), numbers(3, 4, seed=2)
    np.testing.assert_allclose(compute("MatMul", x, y, numbers(2, 2, 2)), (x @ y).reshape(2, 2, 2))
    with raises("E102", "cannot have the shape \\[9\\]"):
        made("MatMul").infer(((2, 3), (3, 4), (9,)), 1)
    with raises("E102", "A is a matrix of shape \\[2,3\\], but B of shape \\[4,3\\]"):
        made("MatMul").infer(((2, 3), (4, 3)), 1)
    with raises("E103", "`axis_a: 1` of `MatMul` is out of range"):
        made("MatMul").infer(((3,), (3, 4)), 1)


@pytest.mark.parametrize(
    ("a", "b", "arguments"),
    [
        ((2, 3), (3, 4), {}),
        ((5, 2, 3), (5, 3, 4), {}),
        ((5, 3, 2), (5, 4, 3), {"trans_a": 1, "trans_b": 1}),
        ((2, 3), (1, 3, 4), {}),
        ((3,), (3,), {"trans_a": 1, "trans_b": 1}),
        ((3,), (5, 3, 4), {}),
        ((3,), (5, 4, 3), {"trans_b": 1}),
        ((5, 2, 3), (3,), {}),
        ((5, 3, 2), (3,), {"trans_a": 1}),
        ((5, 1, 2, 3), (7, 3, 4), {"broadcast": 1}),
        ((2, 3), (5, 3, 4), {"broadcast": 1}),
        ((0, 2, 3), (0, 3, 4), {}),
    ],
)
def test_batch_matmul(a, b, arguments):
    x, y = numbers(*a), numbers(*b, seed=2)
    p = np.swapaxes(x, -1, -2) if arguments.get("trans_a") and x.ndim > 1 else x
    q = np.swapaxes(y, -1, -2) if arguments.get("trans_b") and y.ndim > 1 else y
    expected = np.atleast_1d(p @ q)
    np.testing.assert_allclose(compute("BatchMatMul", x, y, **arguments), expected, rtol=1e-10)
    assert gradcheck(made("BatchMatMul", **arguments), a, b)


def test_unknown_extents_and_costs():
    assert made("BatchMatMul").infer(((UNKNOWN, 2, 3), (5, 3, 4)), 1) == ((UNKNOWN, 2, 4),)
    assert made("BatchMatMul").cost(((5, 2, 3), (5, 3, 4)), ((5, 2, 4),)) == Cost(macs=120)
    assert made("BatchMatMul", trans_a=1).cost(((3, 2), (3, 4)), ((2, 4),)) == Cost(macs=24)
    assert made("MatMul", trans_b=1).cost(((2, 3), (4, 3)), ((2, 4),)) == Cost(macs=24)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ((), (3,), "input 0 of `BatchMatMul` is a scalar"),
        ((2, 3), (4, 3), "A\\[2,3\\] has 3 columns, but B\\[4,3\\] has 4 rows"),
        ((5, 2, 3), (7, 3, 4), "batch axes \\[5\\] and \\[7\\]"),
        ((2, 3), (5, 3, 4), "batch axes \\[\\] and \\[5\\]"),
    ],
)
def test_refused_batch_matmul(a, b, text):
    with raises("E102", text):
        made("BatchMatMul").infer((a, b), 1)


@pytest.mark.parametrize(
    ("x", "w", "arguments"),
    [
        ((2, 3), (4, 3), {}),
        ((2, 3, 2, 2), (4, 12), {}),
        ((2, 3, 4), (5, 4), {"axis": 2}),
        ((2, 3, 4), (5, 4), {"axis": -1}),
        ((2, 3), (4, 6), {"axis": 0}),
        ((2, 6), (2, 2, 3, 2), {"axis_w": 2}),
    ],
)
def test_fully_connected(x, w, arguments):
    axis, axis_w = arguments.get("axis", 1) % len(x), arguments.get("axis_w", 1)
    left, right = numbers(*x), numbers(*w, seed=2)
    matrix = right.reshape(int(np.prod(w[:axis_w])), -1)
    b = numbers(len(matrix), seed=3)
    expected = left.reshape(int(np.prod(x[:axis])), -1) @ matrix.T + b
    expected = expected.reshape(*x[:axis], len(b))
    np.testing.assert_allclose(compute("FC", left, right, b, **arguments), expected, rtol=1e-10)
    assert gradcheck(made("FC", **arguments), x, w, b.shape)
    if axis_w == 1:
        found = compute("FCTransposed", left, matrix.T.copy(), b, **arguments)
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_refused_fully_connected():
    with raises("E102", "X\\[2,5\\] has 5 values per item, but W\\[4,3\\] expects 3"):
        made("FC").infer(((2, 5), (4, 3), (4,)), 1)
    with raises("E102", "b has shape \\[3\\], expected \\[4\\]"):
        made("FC").infer(((2, 3), (4, 3), (3,)), 1)
    with raises("E103", "`axis: 2` of `FC` is out of range for 2 axes"):
        made("FC", axis=2).infer(((2, 3), (4, 1), (4,)), 1)
    assert made("FC").cost(((2, 3, 5), (4, 15), (4,)), ((2, 4),)) == Cost(macs=120)
