"""BBoxTransform."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.detectron import boxes, clipped, decoded
from tests.layers.operators.single import raises, reals, run

INFO = np.array([[40, 30, 2], [30, 50, 1.5]], np.float32)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def expected(regions, codes, image, apply_scale, plus, weights):
    numbers = regions.shape[1]
    found = np.zeros(codes.shape)
    for r, (region, code) in enumerate(zip(regions.astype(np.float64), codes.astype(np.float64))):
        height, width, scale = INFO[image[r]]
        region = np.concatenate((region[:4] / scale, region[4:]))
        for k in range(0, len(code), numbers):
            box = decoded(region, code[k : k + numbers], weights, plus)
            box = clipped(box, int(height / scale + 0.5), int(width / scale + 0.5), plus)
            box[:4] *= scale if apply_scale else 1
            found[r, k : k + numbers] = box
    return found


@pytest.mark.parametrize("rotated", [0, 1])
@pytest.mark.parametrize(("apply_scale", "plus"), [(1, 1), (0, 0)])
def test_boxes_of_two_images(rotated, apply_scale, plus):
    regions, codes = boxes(7, rotated=bool(rotated)), reals(7, 3 * (4 + rotated))
    regions[::2, 4:] = 0.5
    image = np.array([0, 0, 0, 1, 1, 1, 1])
    rois = np.concatenate((image[:, None].astype(np.float32), regions), 1)
    options = {"weights": list(WEIGHTS), "apply_scale": apply_scale, "legacy_plus_one": plus, "rotated": rotated}
    found, counts = run("BBoxTransform", rois, codes, INFO, outputs=2, **options)
    want = expected(regions, codes, image, apply_scale, plus, WEIGHTS)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(counts, [3, 4])
    # images are taken in the order of the regions, as many as each has
    mixed = np.concatenate((image[::-1, None].astype(np.float32), regions), 1)
    np.testing.assert_array_equal(run("BBoxTransform", mixed, codes, INFO, **options)[:3], found[:3])


def test_boxes_of_one_image():
    regions, codes = boxes(5), reals(5, 4)
    want = expected(regions, codes, np.zeros(5, int), 1, 1, (1, 1, 1, 1))
    np.testing.assert_allclose(run("BBoxTransform", regions, codes, INFO[:1]), want, rtol=1e-4, atol=1e-4)


def test_no_regions():
    assert run("BBoxTransform", reals(0, 5), reals(0, 8), INFO).shape == (0, 8)


def test_it_refuses():
    regions, codes = boxes(5), reals(5, 8)
    with raises("E102", "name no image"):
        run("BBoxTransform", regions, codes, INFO)
    with raises("E102", "do not match"):
        run("BBoxTransform", regions, reals(5, 6), INFO[:1])
    with raises("E102", "do not match"):
        run("BBoxTransform", regions, reals(4, 8), INFO[:1])
    with raises("E102", "4 or 5 numbers"):
        run("BBoxTransform", reals(5, 3), codes, INFO[:1])
    with raises("E102", "height, width and scale"):
        run("BBoxTransform", regions, codes, reals(1, 2))
    with raises("E301", "image of a region"):
        run("BBoxTransform", np.concatenate((np.full((5, 1), 2, "f"), regions), 1), codes, INFO)
    with raises("E103", "expected 4 `weights`"):
        run("BBoxTransform", regions, codes, INFO[:1], weights=[1.0])
    with raises("E103", "multiple of 180"):
        run("BBoxTransform", boxes(5, rotated=True), reals(5, 5), INFO[:1], rotated=1, angle_bound_lo=90)
