"""IntegralImage."""

from __future__ import annotations

import numpy as np

from tests.layers.operators.single import gradients, raises, reals, run


def test_sums_over_rectangles_and_their_gradient():
    x, g = reals(2, 3, 4, 5), reals(2, 3, 5, 6, seed=1)
    expected, gradient = np.zeros((2, 3, 5, 6)), np.zeros(x.shape)
    for i, j in np.ndindex(5, 6):
        expected[:, :, i, j] = x[:, :, :i, :j].sum((2, 3))
        gradient[:, :, :i, :j] += g[:, :, i : i + 1, j : j + 1]
    np.testing.assert_allclose(run("IntegralImage", x), expected, rtol=1e-5, atol=1e-5)
    (found,) = gradients("IntegralImage", x, upstream=[g])
    np.testing.assert_allclose(found, gradient, rtol=1e-5, atol=1e-5)


def test_what_is_empty_and_what_is_refused():
    np.testing.assert_array_equal(run("IntegralImage", reals(1, 1, 0, 2)), np.zeros((1, 1, 1, 3)))
    with raises("E102", "4 axes"):
        run("IntegralImage", reals(3, 4, 5))
