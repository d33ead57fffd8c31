"""ScatterAssign, ScatterWeightedSum."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, ints, raises, reals, run

X, ONE = reals(4, 3), np.ones(1, np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int32, np.int64])
def test_slices_are_replaced(dtype):
    x, slices = np.arange(12).reshape(4, 3).astype(dtype), (np.arange(6) + 50).reshape(2, 3).astype(dtype)
    expected = x.copy()
    expected[[3, 1]] = slices
    for indices in (ints(3, 1), ints(3, 1, dtype=np.int64).reshape(2, 1)):
        np.testing.assert_array_equal(run("ScatterAssign", x, indices, slices.ravel(), in_place=0), expected)


def weighted(x, w0, indices, *pairs):
    """Transcribed from `utility_ops.h`: each occurrence of an index scales its slice."""
    x = x.astype(np.float64)
    for index in indices:
        x[index] *= w0
    for slices, weight in zip(pairs[::2], pairs[1::2]):
        for row, index in zip(slices, indices):
            x[index] += weight * row
    return x


@pytest.mark.parametrize("w0", [1.0, 0.5, 0.0, -2.0])
def test_slices_are_added(w0):
    inputs = X, ONE * np.float32(w0), ints(2, 0, 2), reals(3, 3, seed=1), ONE * 3, reals(3, 3, seed=2), -ONE
    found = run("ScatterWeightedSum", *inputs, in_place=0)
    np.testing.assert_allclose(found, weighted(*inputs), rtol=1e-5, atol=1e-6)


def test_what_is_refused():
    for type, inputs in (("ScatterAssign", 3), ("ScatterWeightedSum", 5)):
        with raises("E023", "same blob"):
            described(type, inputs)
        with raises("E023", "same blob"):
            described(type, inputs, in_place=1)
    with raises("E301", "index outside 0 to 3: 4"):
        run("ScatterAssign", X, ints(4), X[:1], in_place=0)
    with raises("E301", "index outside"):
        run("ScatterWeightedSum", X, ONE, ints(-1), X[:1], ONE, in_place=0)
    with raises("E102", "expected 6 elements"):
        run("ScatterAssign", X, ints(0, 1), X[:1], in_place=0)
    with raises("E102", "expected 6 elements"):
        run("ScatterWeightedSum", X, ONE, ints(0, 1), X[:1], ONE, in_place=0)
    with raises("E102", "weight 4"):
        run("ScatterWeightedSum", X, ONE, ints(0), X[:1], X[0], in_place=0)
    with raises("E107", "one type"):
        run("ScatterAssign", X, ints(0), ints(1, 2, 3), in_place=0)
    with raises("E020", "odd"):
        described("ScatterWeightedSum", 6, in_place=0)
    with raises("E102", "scalar"):
        run("ScatterAssign", X[0, 0], ints(0), X[:1], in_place=0)
