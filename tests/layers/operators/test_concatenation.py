"""Concat and Split."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run


@pytest.mark.parametrize(
    ("arguments", "axis"),
    [({}, 1), ({"order": "NHWC"}, 3), ({"axis": 2}, 2), ({"axis": -4}, 0), ({"order": "nchw"}, 1)],
)
def test_inputs_are_joined_along_the_axis(arguments, axis):
    shapes = [[2, 3, 4, 5], [2, 3, 4, 5]]
    shapes[1][axis] = 7
    a, b = reals(*shapes[0]), reals(*shapes[1], seed=1)
    joined, extents = run("Concat", a, b, outputs=2, **arguments)
    np.testing.assert_array_equal(joined, np.concatenate([a, b], axis))
    np.testing.assert_array_equal(extents, ints(shapes[0][axis], 7))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_a_new_axis_stacks(axis):
    a, b = ints(1, 2, 3, 4).reshape(2, 2), ints(5, 6, 7, 8).reshape(2, 2)
    stacked, extents = run("Concat", a, b, outputs=2, axis=axis, add_axis=1)
    np.testing.assert_array_equal(stacked, np.stack([a, b], axis))
    assert extents.tolist() == [1, 1]


def test_add_axis_is_read_along_with_axis_only():
    a = reals(2, 2)
    assert run("Concat", a, a, outputs=2, add_axis=1)[0].shape == (2, 4)
    assert run("Split", a, outputs=2, add_axis=1)[0].shape == (2, 1)


def test_the_gradient_of_each_input_is_its_region():
    g = reals(2, 5)
    found = gradients("DepthConcat", reals(2, 3), reals(2, 2), outputs=2, upstream=[g, [0, 0]])
    np.testing.assert_array_equal(found[0], g[:, :3])
    np.testing.assert_array_equal(found[1], g[:, 3:])


def test_concat_refuses():
    with raises("E101", "exclude"):
        described("Concat", 2, 2, axis=1, order="NCHW")
    with raises("E103", "NCHW"):
        described("Concat", 2, 2, order="NCWH")
    with raises("E102", "except along axis 1"):
        run("Concat", reals(2, 3), reals(3, 3), outputs=2)
    with raises("E102", "equal shapes"):
        run("Concat", reals(2, 3), reals(2, 4), outputs=2, axis=1, add_axis=1)
    with raises("E102"):
        run("Concat", reals(2, 3), reals(2, 3, 1), outputs=2)
    with raises("E103", "out of range"):
        run("Concat", reals(2), reals(2), outputs=2)
    with raises("E107", "one type"):
        run("Concat", reals(2, 3), ints(1, 2).reshape(2, 1), outputs=2)


@pytest.mark.parametrize(
    ("arguments", "extents", "axis"),
    [({}, [2, 2, 2], 1), ({"split": [1, 0, 5]}, [1, 0, 5], 1), ({"axis": -1, "split": [4, 1, 1]}, [4, 1, 1], 2)],
)
def test_consecutive_regions(arguments, extents, axis):
    x = reals(2, 6, 6)
    found = run("Split", x, outputs=3, **arguments)
    for part, expected in zip(found, np.split(x, np.cumsum(extents)[:-1], axis)):
        np.testing.assert_array_equal(part, expected)


def test_extents_from_an_input():
    x = ints(*range(10)).reshape(2, 5)
    found = run("Split", x, ints(1, 4), outputs=2, axis=1)
    np.testing.assert_array_equal(found[0], x[:, :1])
    np.testing.assert_array_equal(found[1], x[:, 1:])
    with raises("E102", "add up to 4"):
        run("Split", x, ints(1, 3), outputs=2, axis=1)
    with raises("E102", "2 outputs"):
        run("Split", x, ints(1, 3, 1), outputs=2, axis=1)
    with raises("E107"):
        run("Split", x, ints(1, 4, dtype=np.int64), outputs=2, axis=1)


def test_split_refuses():
    with raises("E102", "not divisible"):
        run("Split", reals(2, 5), outputs=2)
    with raises("E102", "one per output"):
        run("Split", reals(2, 5), outputs=2, split=[1, 2, 2])
    with raises("E102", "add up to 6"):
        run("Split", reals(2, 5), outputs=2, split=[1, 5])
    with raises("E102", "negative"):
        run("Split", reals(2, 5), outputs=2, split=[6, -1])
    with raises("E102", "another extent"):
        run("Split", reals(2, 4), outputs=2, axis=1, add_axis=1)
    with raises("E101", "as well"):
        described("Split", 2, 2, split=[1, 2])


def test_the_gradient_of_split_is_joined():
    g = reals(2, 1), reals(2, 1, seed=1)
    (found,) = gradients("Split", reals(2, 2), outputs=2, upstream=g)
    np.testing.assert_array_equal(found, np.concatenate(g, 1))
