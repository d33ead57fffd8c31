"""Tile, NumpyTile, Expand."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(2, 3)


@pytest.mark.parametrize(("tiles", "axis"), [(3, 0), (2, 1), (2, -1), (0, 0), (1, 1)])
def test_tile(tiles, axis):
    repeats = [1, 1]
    repeats[axis] = tiles
    expected = np.tile(X, repeats)
    np.testing.assert_array_equal(run("Tile", X, tiles=tiles, axis=axis), expected)
    np.testing.assert_array_equal(run("Tile", X, ints(tiles), axis=axis), expected)
    np.testing.assert_array_equal(run("Tile", X, ints(tiles), ints(axis)), expected)
    np.testing.assert_array_equal(run("Tile", X, ints(tiles, dtype=np.int64), ints(axis)), expected)


def test_tiles_of_type_int64_are_laid_along_axis_0():
    np.testing.assert_array_equal(run("Tile", X, ints(2, dtype=np.int64), axis=1), np.tile(X, (2, 1)))


def test_the_gradient_of_tile_is_the_sum_over_the_copies():
    g = reals(2, 6)
    (found,) = gradients("Tile", X, upstream=[g], tiles=2, axis=1)
    np.testing.assert_allclose(found, g[:, :3] + g[:, 3:], rtol=1e-6)


def test_tile_refuses():
    with raises("E101", "tiles"):
        described("Tile", 1, axis=0)
    with raises("E101", "axis"):
        described("Tile", 2, tiles=2)
    with raises("E103", "negative"):
        described("Tile", 1, tiles=-1, axis=0)
    with raises("E103", "negative"):
        run("Tile", X, ints(-1), axis=0)
    with raises("E103", "out of range"):
        run("Tile", X, tiles=1, axis=2)
    with raises("E103", "out of range"):
        run("Tile", X, ints(1), ints(2))
    with raises("E102"):
        run("Tile", X, ints(1, 2), axis=0)
    with raises("E107"):
        run("Tile", X, reals(1), axis=0)


def test_numpy_tile():
    repeats = ints(2, 3, dtype=np.int64)
    np.testing.assert_array_equal(run("NumpyTile", X, repeats), np.tile(X, (2, 3)))
    assert run("NumpyTile", X, ints(0, 1, dtype=np.int64)).shape == (0, 3)
    with raises("E301", "negative"):
        run("NumpyTile", X, ints(-1, 1, dtype=np.int64))
    with raises("E102"):
        run("NumpyTile", X, ints(1, dtype=np.int64))
    with raises("E107"):
        run("NumpyTile", X, ints(1, 1))


@pytest.mark.parametrize(
    ("x", "shape", "expected"),
    [
        ((3, 1), [2, 1, 4], (2, 3, 4)),
        ((2, 3), [3], (2, 3)),
        ((2, 3), [], (2, 3)),
        ((1,), [5], (5,)),
        ((1,), [-1], (1,)),
        ((), [2], (2,)),
    ],
)
def test_expand(x, shape, expected):
    x = reals(*x)
    found = run("Expand", x, ints(*shape, dtype=np.int64))
    np.testing.assert_array_equal(found, np.broadcast_to(x, expected))
    g = reals(*expected)
    (gradient,) = gradients("Expand", x, ints(*shape, dtype=np.int64), upstream=[g])
    summed = g.sum(tuple(range(g.ndim - x.ndim)))
    for axis, extent in enumerate(x.shape):
        if extent == 1:
            summed = summed.sum(axis, keepdims=True)
    np.testing.assert_allclose(gradient, summed, rtol=1e-5)


def test_expand_with_an_unknown_number_of_axes():
    layer = described("Expand", 2)
    assert layer.infer(((2, 3), (UNKNOWN,)), 1) == (None,)
    assert layer.infer(((2, 3, 4), (1,)), 1) == ((2, 3, UNKNOWN),)


def test_expand_refuses():
    for shape in ([2], [-1], [4, 3]):
        with raises("E102", "does not broadcast"):
            run("Expand", X, ints(*shape, dtype=np.int64))
    with raises("E102", "does not broadcast"):
        run("Expand", reals(0), ints(1, dtype=np.int64))
    with raises("E107"):
        run("Expand", X, ints(2, 3))
