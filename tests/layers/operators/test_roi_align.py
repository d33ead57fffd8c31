"""RoIAlign, RoIAlignRotated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.layers.operators.single import gradients, raises, reals, run

UPRIGHT = np.array(
    [[0, 1, 2, 13, 9], [1, -6, -4, 30, 22], [1, 5.3, 5.2, 5.4, 5.3], [0, 14, 10, 40, 40], [1, 0, 0, 15, 11]], np.float32
)
ROTATED = np.array(
    [[0, 7, 5, 9, 6, 30], [1, 2, 2, 20, 9, -75], [1, 8, 6, 0.3, 0.2, 10], [0, 15, 11, 4, 4, 0]], np.float32
)
SCALE = 0.5


def sample(image, y, x):
    """A bilinear sample of (h, w) by the four elements around it."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    total = 0.0
    for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
            if down * across:
                total += down * across * image[row, column]
    return total


def expected(images, regions, ph, pw, ratio, aligned):
    """Means of samples, bin by bin; with six numbers regions are rotated."""
    found = np.zeros((len(regions), images.shape[1], ph, pw))
    for r, (image, *numbers) in enumerate(regions.astype(np.float64)):
        angle = math.radians(numbers[4]) if len(numbers) == 5 else 0.0
        a, b, c, d = (n * SCALE for n in numbers[:4])
        offset = 0.5 if aligned else 0.0
        width, height = (c, d) if len(numbers) == 5 else (c - a, d - b)
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        x0, y0 = (a, b) if len(numbers) == 5 else (a + width / 2, b + height / 2)
        x0, y0 = x0 - offset, y0 - offset
        rows = ratio if ratio > 0 else math.ceil(height / ph)
        columns = ratio if ratio > 0 else math.ceil(width / pw)
        for i, j, k, m in np.ndindex(ph, pw, rows, columns):
            y = -height / 2 + (i + (k + 0.5) / rows) * height / ph
            x = -width / 2 + (j + (m + 0.5) / columns) * width / pw
            x, y = x * math.cos(angle) + y * math.sin(angle) + x0, y * math.cos(angle) - x * math.sin(angle) + y0
            for channel, plane in enumerate(images[int(image)]):
                found[r, channel, i, j] += sample(plane, y, x) / (rows * columns)
    return found


@pytest.mark.parametrize(("type", "regions"), [("RoIAlign", UPRIGHT), ("RoIAlignRotated", ROTATED)])
@pytest.mark.parametrize(("ratio", "aligned"), [(2, 0), (0, 0), (-1, 1), (3, 1)])
def test_means_of_samples(type, regions, ratio, aligned):
    images = reals(2, 3, 6, 8)
    options = {"spatial_scale": SCALE, "pooled_h": 3, "pooled_w": 2, "sampling_ratio": ratio, "aligned": aligned}
    want = expected(images, regions, 3, 2, ratio, aligned)
    np.testing.assert_allclose(run(type, images, regions, **options), want, rtol=1e-4, atol=1e-5)
    last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    found = run(type, last, regions, order="NHWC", **options)
    np.testing.assert_allclose(found, want.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("type", "regions"), [("RoIAlign", UPRIGHT), ("RoIAlignRotated", ROTATED)])
def test_the_image_may_be_left_out(type, regions):
    images = reals(1, 2, 6, 8)
    first = regions.copy()
    first[:, 0] = 0
    found = run(type, images, regions[:, 1:], spatial_scale=SCALE, pooled_w=2, sampling_ratio=0)
    np.testing.assert_allclose(found, expected(images, first, 1, 2, 0, 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("type", "regions"), [("RoIAlign", UPRIGHT), ("RoIAlignRotated", ROTATED)])
@pytest.mark.parametrize("ratio", [2, 0])
def test_the_gradient_is_the_adjoint(type, regions, ratio):
    options = {"spatial_scale": SCALE, "pooled_h": 2, "pooled_w": 2, "sampling_ratio": ratio}
    g = reals(len(regions), 1, 2, 2, seed=1)
    found, of_regions = gradients(type, reals(2, 1, 6, 8), regions, upstream=[g], **options)
    want = np.zeros((2, 1, 6, 8))
    for place in np.ndindex(want.shape):
        unit = np.zeros_like(want)
        unit[place] = 1
        want[place] = (expected(unit, regions, 2, 2, ratio, 0) * g).sum()
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)
    assert of_regions is None


def test_no_regions():
    assert run("RoIAlign", reals(2, 3, 6, 8), reals(0, 5), pooled_h=2).shape == (0, 3, 2, 1)
    assert run("RoIAlign", reals(2, 6, 8, 3), reals(0, 4), order="NHWC").shape == (0, 1, 1, 3)


def test_a_region_without_samples_has_no_mean():
    region = np.array([[0, 3, 3, 3, 3]], np.float32)
    assert np.isnan(run("RoIAlign", reals(1, 1, 6, 8), region, aligned=1, sampling_ratio=0)).all()


def test_it_refuses():
    images = reals(2, 3, 6, 8)
    with raises("E301", "image of a region outside 0 to 1: 2"):
        run("RoIAlign", images, np.array([[2, 0, 0, 4, 4]], np.float32))
    with raises("E301", "negative extent"):
        run("RoIAlign", images, np.array([[0, 4, 0, 0, 4]], np.float32), aligned=1)
    with raises("E102", "4 or 5 numbers"):
        run("RoIAlign", images, reals(2, 6))
    with raises("E102", "5 or 6 numbers"):
        run("RoIAlignRotated", images, reals(2, 4))
    with raises("E102", "4 axes"):
        run("RoIAlign", reals(3, 6, 8), UPRIGHT)
    with raises("E103", "must be positive"):
        run("RoIAlign", images, UPRIGHT, pooled_w=0)
    with raises("E103", "NCHW or NHWC"):
        run("RoIAlign", images, UPRIGHT, order="CHWN")
