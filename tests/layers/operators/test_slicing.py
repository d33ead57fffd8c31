"""Slice."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(4, 6)


def sliced(x, starts, ends):
    """Transcribed from `slice_op.h`."""
    bounds = []
    for extent, start, end in zip(x.shape, starts, ends):
        first = extent + 1 + start if start < 0 else start
        last = extent + 1 + end if end < 0 else end
        bounds.append(slice(min(first, extent), min(last, extent)))
    return x[tuple(bounds)]


BOUNDS = [
    ([0, 0], [-1, -1]),
    ([1, 0], [3, -1]),
    ([0, -3], [-1, -1]),
    ([0, 2], [-1, -2]),
    ([0, 2], [-1, 100]),
    ([0, 0], [4, 6]),
    ([2, 0], [2, -1]),
    ([9, 0], [-1, -1]),
]


@pytest.mark.parametrize(("starts", "ends"), BOUNDS)
def test_arguments_and_inputs(starts, ends):
    expected = sliced(X, starts, ends)
    np.testing.assert_array_equal(run("Slice", X, starts=starts, ends=ends), expected)
    for dtype in (np.int32, np.int64):
        found = run("Slice", X, ints(*starts, dtype=dtype), ints(*ends, dtype=dtype))
        np.testing.assert_array_equal(found, expected)


def test_the_gradient_is_0_elsewhere():
    g = reals(4, 2)
    (found,) = gradients("Slice", X, upstream=[g], starts=[0, 1], ends=[-1, 3])
    expected = np.zeros_like(X)
    expected[:, 1:3] = g
    np.testing.assert_array_equal(found, expected)


def test_an_input_without_elements_may_be_cut_along_several_axes():
    assert run("Slice", reals(0, 6), starts=[0, 2], ends=[-1, 4]).shape == (0, 2)


def test_fewer_bounds_than_axes_select_everything_or_nothing():
    np.testing.assert_array_equal(run("Slice", X, starts=[0], ends=[-1]), X)
    with raises("E102", "expected 2"):
        run("Slice", X, starts=[1], ends=[-1])


def test_unknown_extents():
    layer = described("Slice", 1, starts=[0, 1], ends=[-1, 3])
    assert layer.infer(((UNKNOWN, 6),), 1) == ((UNKNOWN, 2),)
    assert layer.infer(((4, UNKNOWN),), 1) == ((4, UNKNOWN),)


def test_slice_refuses():
    with raises("E102", "only one"):
        run("Slice", X, starts=[1, 1], ends=[-1, -1])
    with raises("E102", "do not fit"):
        run("Slice", X, starts=[3, 0], ends=[2, -1])
    with raises("E102", "do not fit"):
        run("Slice", X, starts=[-9, 0], ends=[-1, -1])
    with raises("E102", "3 axes"):
        run("Slice", X, starts=[0, 0, 0], ends=[-1, -1, -1])
    with raises("E103", "different lengths"):
        described("Slice", 1, starts=[0], ends=[1, 2])
    with raises("E101", "requires"):
        described("Slice", 1, starts=[0])
    with raises("E101", "comes with"):
        described("Slice", 2)
    with raises("E107", "one type"):
        run("Slice", X, ints(0, 0), ints(-1, -1, dtype=np.int64))
    with raises("E102", "shapes"):
        run("Slice", X, ints(0, 0), ints(-1))
