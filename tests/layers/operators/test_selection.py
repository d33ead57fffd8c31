"""ArgMax, ArgMin, TopK."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(3, 4, 5)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_positions_of_extremes(axis, dtype):
    x = (X * 3).astype(dtype)  # integers have ties
    for type, find in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        np.testing.assert_array_equal(run(type, x, axis=axis), np.expand_dims(find(x, axis), axis))
        np.testing.assert_array_equal(run(type, x, axis=axis, keepdims=0), find(x, axis))


def test_extremes_refuse():
    for axis in (-2, 3):
        with raises("E103", "out of range"):
            run("ArgMax", X, axis=axis)
    with raises("E103", "out of range"):
        run("ArgMax", X[0, 0, 0])
    with raises("E102", "no elements"):
        run("ArgMin", reals(3, 0))
    with raises("E107"):
        run("ArgMin", np.array([True]))


def largest(x, k, axis):
    """The k largest along an axis, the first of equal ones first, and their positions, also in the whole input."""
    moved = np.moveaxis(x, axis, -1)
    values, indices = np.zeros((*moved.shape[:-1], k), x.dtype), np.full((*moved.shape[:-1], k), -1)
    for row in np.ndindex(moved.shape[:-1]):
        order = sorted(range(moved.shape[-1]), key=lambda i: (-moved[row][i], i))[:k]
        values[row][: len(order)], indices[row][: len(order)] = moved[row][order], order
    values, indices = np.moveaxis(values, -1, axis), np.moveaxis(indices, -1, axis)
    flat = np.full(indices.shape, -1)
    for place in np.ndindex(indices.shape):
        if indices[place] >= 0:
            source = list(place)
            source[axis] = indices[place]
            flat[place] = np.ravel_multi_index(source, x.shape)
    return values, indices, flat.ravel()


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_the_largest(k, axis):
    x = np.round(X)  # with ties
    for found, expected in zip(run("TopK", x, outputs=3, k=k, axis=axis), largest(x, k, axis)):
        np.testing.assert_array_equal(found, expected)


def test_the_gradient_goes_to_the_chosen_elements():
    g = reals(3, 4, 7)
    (found,) = gradients("TopK", X, outputs=2, upstream=[g, np.zeros(g.shape)], k=7)
    expected = np.zeros_like(X)
    _, indices, _ = largest(X, 7, 2)
    for place in np.ndindex(indices.shape):
        if indices[place] >= 0:
            expected[(*place[:-1], indices[place])] = g[place]
    np.testing.assert_array_equal(found, expected)


def test_topk_refuses():
    with raises("E103", "not positive"):
        described("TopK", 1, 2)
    with raises("E103", "out of range"):
        run("TopK", X, outputs=2, k=1, axis=-2)
    with raises("E107"):
        run("TopK", ints(1, 2), outputs=2, k=1)
