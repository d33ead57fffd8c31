"""Gather, BatchGather, BatchPermutation, OneHot."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(4, 5, 3)
INDICES = ints(3, 0, 0, 1, 2, 3).reshape(2, 3)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_slices_along_an_axis(axis, dtype):
    indices = INDICES.clip(max=X.shape[axis] - 1).astype(dtype)
    np.testing.assert_array_equal(run("Gather", X, indices, axis=axis), np.take(X, indices, axis))
    if axis == 1:
        np.testing.assert_array_equal(run("BatchGather", X, indices), np.take(X, indices, 1))


def test_the_gradient_of_an_index_that_repeats_is_a_sum():
    g = reals(4, 2, 3, 3)
    (found,) = gradients("BatchGather", X, INDICES, upstream=[g])
    expected = np.zeros_like(X)
    for place in np.ndindex(INDICES.shape):
        expected[:, INDICES[place]] += g[(slice(None), *place)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_negative_indices_count_from_the_end_along_axis_0():
    np.testing.assert_array_equal(run("Gather", X, ints(-1, -4)), X[[3, 0]])
    np.testing.assert_array_equal(run("Gather", X, ints(-1), axis=1, wrap_indices=1), X[:, [4]])
    for arguments in ({"axis": 1}, {"wrap_indices": 0}, {"axis": -3}):
        with raises("E301", "index outside"):
            run("Gather", X, ints(-1), **arguments)
    with raises("E301", "index outside"):
        run("BatchGather", X, ints(-1))
    with raises("E301", "index outside -4 to 3: 4"):
        run("Gather", X, ints(4))


def test_indices_of_their_own_for_each_position_before_the_axis():
    indices = ints(*(np.arange(8) % 5)).reshape(4, 2)
    expected = np.stack([x[i] for x, i in zip(X, indices)])
    np.testing.assert_array_equal(run("Gather", X, indices, axis=1, match_outer=1), expected)
    np.testing.assert_array_equal(run("BatchGather", X, indices, match_outer=1), expected)
    np.testing.assert_array_equal(
        run("Gather", X.astype(np.uint16), indices, axis=1, match_outer=1), expected.astype(np.uint16)
    )
    g = reals(*expected.shape, seed=1)
    (found,) = gradients("BatchGather", X, indices, upstream=[g], match_outer=1)
    summed = np.zeros_like(X)
    for batch, row in np.ndindex(indices.shape):
        summed[batch, indices[batch, row]] += g[batch, row]
    np.testing.assert_allclose(found, summed, rtol=1e-5)
    with raises("E102", "begin with"):
        run("BatchGather", X, indices[:3], match_outer=1)


def test_what_is_empty():
    assert run("Gather", reals(0, 3), ints(1, 2)).shape == (0, 3)
    assert run("Gather", reals(4, 0), ints(1, 2)).shape == (2, 0)
    assert run("Gather", X, ints()).shape == (0, 5, 3)


def test_gather_refuses():
    with raises("E107"):
        run("Gather", X, reals(1))
    with raises("E103", "out of range"):
        run("Gather", X, ints(1), axis=3)
    with raises("E103", "out of range"):
        run("BatchGather", reals(3), ints(1))


def test_items_in_another_order():
    order = ints(2, 0, 3, 1)
    np.testing.assert_array_equal(run("BatchPermutation", X, order), X[order])
    g = reals(*X.shape, seed=1)
    (found,) = gradients("BatchPermutation", X, order, upstream=[g])
    np.testing.assert_array_equal(found, g[np.argsort(order)])
    assert run("BatchPermutation", reals(0, 3), ints()).shape == (0, 3)
    with raises("E301", "index outside"):
        run("BatchPermutation", X, ints(0, 1, 2, 4))
    with raises("E102", "per item"):
        run("BatchPermutation", X, ints(0, 1))
    with raises("E107"):
        run("BatchPermutation", X, order.astype(np.int64))


def test_one_hot():
    indices, columns = ints(1, 0, 3, dtype=np.int64), ints(4, dtype=np.int64)
    np.testing.assert_array_equal(run("OneHot", indices, columns), np.eye(4, dtype=np.float32)[indices])
    assert run("OneHot", indices[:0], columns).shape == (0, 4)
    with raises("E301", "index outside 0 to 2: 3"):
        run("OneHot", indices, columns - 1)
    with raises("E301", "negative"):
        run("OneHot", indices, -columns)
    with raises("E102", "one element"):
        run("OneHot", indices, indices)
    with raises("E102", "1 axes"):
        run("OneHot", indices[None], columns)
    with raises("E107"):
        run("OneHot", ints(1), columns)


def test_wrapping_is_an_argument_of_gather_alone():
    assert described("BatchGather", 2, wrap_indices=1) == described("BatchGather", 2)
