"""Transpose, NCHW2NHWC, NHWC2NCHW."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import described, gradients, ints, raises, reals, run

X = reals(2, 3, 4, 5)


@pytest.mark.parametrize("axes", [None, [0, 2, 3, 1], [3, 2, 1, 0], [1, 0, 2, 3]])
def test_axes_in_another_order(axes):
    arguments = {} if axes is None else {"axes": axes}
    np.testing.assert_array_equal(run("Transpose", X, **arguments), X.transpose(axes))
    g = reals(*X.transpose(axes).shape)
    (found,) = gradients("Transpose", X, upstream=[g], **arguments)
    np.testing.assert_array_equal(found, g.transpose(None if axes is None else np.argsort(axes)))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6), (0, 3, 4)])
def test_channels_move(shape):
    x = reals(*shape)
    moved = run("NCHW2NHWC", x)
    np.testing.assert_array_equal(moved, np.moveaxis(x, 1, -1))
    np.testing.assert_array_equal(run("NHWC2NCHW", moved), x)


def test_what_is_refused():
    for axes in ([0, 1, 1], [1, 2, 3], [0, -1]):
        with raises("E103", "permutation"):
            described("Transpose", 1, axes=axes)
    with raises("E102", "has 4"):
        run("Transpose", X, axes=[1, 0])
    with raises("E107"):
        run("Transpose", np.array([[True]]))
    for type in ("NCHW2NHWC", "NHWC2NCHW"):
        with raises("E102", "at least 3 axes"):
            run(type, reals(2, 3))
        with raises("E107"):
            run(type, ints(1).reshape(1, 1, 1))
