"""RoIPool."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.layers.operators.single import gradients, raises, reals, run

REGIONS = np.array([[0, 1, 2, 13, 9], [1, -6, -4, 30, 22], [1, 5, 5, 5, 5], [0, 40, 40, 50, 50], [1, 9, 9, 3, 3]], "f")


def rounded(x):
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def expected(images, regions, ph, pw, scale):
    """Maxima and their places, bin by bin."""
    height, width = images.shape[2:]
    tops = np.zeros((len(regions), images.shape[1], ph, pw), np.float32)
    where = np.full(tops.shape, -1, np.int32)
    for r, (image, *corners) in enumerate(regions):
        x1, y1, x2, y2 = (rounded(c * scale) for c in corners)
        h, w = max(y2 - y1 + 1, 1) / ph, max(x2 - x1 + 1, 1) / pw
        for channel, i, j in np.ndindex(images.shape[1], ph, pw):
            rows = range(max(math.floor(i * h) + y1, 0), min(math.ceil((i + 1) * h) + y1, height))
            columns = range(max(math.floor(j * w) + x1, 0), min(math.ceil((j + 1) * w) + x1, width))
            places = [y * width + x for y in rows for x in columns]
            if places:
                plane = images[int(image), channel].ravel()
                best = max(places, key=lambda place: plane[place])
                tops[r, channel, i, j], where[r, channel, i, j] = plane[best], best
    return tops, where


@pytest.mark.parametrize("bins", [(3, 2), (1, 1), (7, 7)])
def test_maxima_and_their_places(bins):
    images = reals(2, 3, 6, 8).round(1)
    options = {"pooled_h": bins[0], "pooled_w": bins[1], "spatial_scale": 0.5}
    want, places = expected(images, REGIONS, *bins, 0.5)
    found, where = run("RoIPool", images, REGIONS, outputs=2, **options)
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(where, places)
    assert where.dtype == np.int32
    assert (where == -1).any()
    np.testing.assert_array_equal(run("RoIPool", images, REGIONS, is_test=1, **options), want)
    g = reals(*want.shape, seed=1)
    of_x, of_regions = gradients("RoIPool", images, REGIONS, outputs=2, upstream=[g, g], **options)
    sums = np.zeros((2, 3, 48), np.float32)
    for r, channel, i, j in zip(*np.nonzero(places >= 0)):
        sums[int(REGIONS[r, 0]), channel, places[r, channel, i, j]] += g[r, channel, i, j]
    np.testing.assert_allclose(of_x, sums.reshape(images.shape), rtol=1e-5, atol=1e-6)
    assert of_regions is None


def test_no_regions():
    assert run("RoIPool", reals(2, 3, 6, 8), reals(0, 5), is_test=1).shape == (0, 3, 1, 1)


def test_it_refuses():
    images = reals(1, 3, 6, 8)
    with raises("E301", "image of a region outside 0 to 0: 1"):
        run("RoIPool", images, REGIONS, is_test=1)
    for arguments, outputs in (({"is_test": 1}, 2), ({}, 1)):
        with raises("E103", "output"):
            run("RoIPool", images, REGIONS, outputs=outputs, **arguments)
    with raises("E103", "NCHW"):
        run("RoIPool", images, REGIONS, is_test=1, order="NHWC")
    with raises("E103", "must be positive"):
        run("RoIPool", images, REGIONS, is_test=1, spatial_scale=0.0)
    with raises("E102"):
        run("RoIPool", images, REGIONS[:, 1:], is_test=1)
