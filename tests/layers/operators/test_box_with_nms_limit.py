"""BoxWithNMSLimit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.layers.operators.detectron import boxes, greedy, overlap
from tests.layers.operators.single import raises, reals, run

CLASSES = 4


def inputs(count=30, per_class=CLASSES, rotated=False, seed=0):
    scores = np.random.default_rng(seed).permutation(count * CLASSES).reshape(count, CLASSES) / (count * CLASSES)
    regions = np.concatenate([boxes(count, seed + 1 + k, rotated) for k in range(per_class)], 1)
    return scores.astype(np.float32), regions


def soft(boxes, scores, method, threshold, lowest, sigma, plus):
    pending, kept, scores = list(range(len(boxes))), [], list(scores)
    while pending:
        best = max(pending, key=lambda i: scores[i])
        kept.append(best)
        pending.remove(best)
        for i in pending:
            shared = overlap(boxes[best], boxes[i], plus)
            linear = 1 - shared if shared > threshold else 1
            scores[i] *= linear if method == "linear" else math.exp(-(shared**2) / sigma)
        pending = [i for i in pending if scores[i] >= lowest]
    return kept, scores


def expected(scores, regions, limit=100, threshold=0.3, lowest=0.05, method="", plus=1, agnostic=False, first=1):
    """(score, box, class, index) of what is kept of one image; `first` is 0 if there is no background first."""
    numbers = 5 if regions.shape[1] % 5 == 0 else 4
    found = []
    for k in range(1, CLASSES):
        column = k - 1 + first
        own = regions[:, :numbers] if agnostic else regions[:, column * numbers : (column + 1) * numbers]
        rows = [i for i in range(len(scores)) if scores[i, column] > lowest]
        values = [float(scores[i, column]) for i in rows]
        if method:
            kept, values = soft(own[rows], values, method, threshold, 0.01, 0.4, plus)
        else:
            kept = greedy(own[rows], values, threshold, plus)
        found += [(values[i], own[rows[i]], k, rows[i]) for i in kept]
    if 0 < limit < len(found):
        found = sorted(sorted(found, key=lambda f: -f[0])[:limit], key=lambda f: f[2])
    return found


def check(found, want, shift=0):
    values, corners, classes = found[:3]
    np.testing.assert_array_equal(classes, [f[2] - shift for f in want])
    np.testing.assert_allclose(values, [f[0] for f in want], rtol=1e-4)
    np.testing.assert_allclose(corners, np.array([f[1] for f in want]))


@pytest.mark.parametrize("rotated", [0, 1])
@pytest.mark.parametrize(("limit", "plus"), [(8, 1), (0, 0), (100, 1)])
def test_the_best_boxes_of_each_class(limit, plus, rotated):
    scores, regions = inputs(rotated=bool(rotated))
    options = {"detections_per_im": limit, "legacy_plus_one": plus, "rotated": rotated}
    want = expected(scores, regions, limit, plus=plus)
    assert len(want) > 6
    check(run("BoxWithNMSLimit", scores, regions, outputs=3, **options), want)


@pytest.mark.parametrize("rotated", [0, 1])
@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_overlaps_lower_scores(method, rotated):
    scores, regions = inputs(rotated=bool(rotated))
    options = {"soft_nms_enabled": 1, "soft_nms_method": method, "soft_nms_sigma": 0.4, "rotated": rotated}
    for limit in (9, 0):
        options |= {"soft_nms_min_score_thres": 0.01, "detections_per_im": limit}
        want = expected(scores, regions, limit, method=method)
        check(run("BoxWithNMSLimit", scores, regions, outputs=3, **options), want)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_images_of_a_batch(dtype):
    scores, regions = inputs()
    splits = np.array([10, 0, 20], dtype)
    found = run("BoxWithNMSLimit", scores, regions, splits, outputs=6, detections_per_im=5, nms=0.5, score_thresh=0.3)
    parts = [expected(scores[a:b], regions[a:b], 5, 0.5, 0.3) for a, b in ((0, 10), (10, 10), (10, 30))]
    check(found, [row for part in parts for row in part])
    np.testing.assert_array_equal(found[3], [len(part) for part in parts])
    np.testing.assert_array_equal(found[4], [row[3] for part in parts for row in part])
    counts = [[sum(row[2] == k for row in part) for k in range(CLASSES)] for part in parts]
    np.testing.assert_array_equal(found[5], counts)


def test_classes_with_the_same_boxes_and_without_background():
    scores, regions = inputs(per_class=1)
    found = run("BoxWithNMSLimit", scores, regions, outputs=3, cls_agnostic_bbox_reg=1)
    check(found, expected(scores, regions, agnostic=True))
    scores, regions = inputs(per_class=CLASSES - 1)
    options = {"input_boxes_include_bg_cls": 0, "output_classes_include_bg_cls": 0}
    check(run("BoxWithNMSLimit", scores, regions, outputs=3, **options), expected(scores, regions, first=0), 1)


def test_more_axes_and_no_boxes():
    scores, regions = inputs()
    planes = (array[:, :, None, None] for array in (scores, regions))
    check(run("BoxWithNMSLimit", *planes, outputs=3), expected(scores, regions))
    empty = run("BoxWithNMSLimit", scores[:0], regions[:0], outputs=6)
    assert [array.shape for array in empty] == [(0,), (0, 4), (0,), (1,), (0,), (1, CLASSES)]
    assert not run("BoxWithNMSLimit", scores, regions, outputs=3, score_thresh=2.0)[0].size


def test_of_boxes_without_an_area_only_the_best_is_kept():
    regions = np.array([[1, 1, 1, 5], [2, 2, 2, 2], [0, 0, 4, 4]], np.float32)
    scores = np.array([[0, 0.5], [0, 0.6], [0, 0.4]], np.float32)
    found = run("BoxWithNMSLimit", scores, regions, outputs=3, cls_agnostic_bbox_reg=1, legacy_plus_one=0)
    check(found, [(0.6, regions[1], 1, 1), (0.4, regions[2], 1, 2)])


def test_it_refuses():
    scores, regions = inputs()
    with raises("E301", "do not add up to 30"):
        run("BoxWithNMSLimit", scores, regions, np.array([10, 10], np.float32), outputs=3)
    with raises("E102", "do not match"):
        run("BoxWithNMSLimit", scores, regions[:, :8], outputs=3)
    with raises("E102", "do not match"):
        run("BoxWithNMSLimit", scores, regions, outputs=3, rotated=1)
    with raises("E102"):
        run("BoxWithNMSLimit", reals(3, 4, 2, 1), regions, outputs=3)
    with raises("E103", "linear or gaussian"):
        run("BoxWithNMSLimit", scores, regions, outputs=3, soft_nms_method="cubic")
    with raises("E101", "comes with output 5"):
        run("BoxWithNMSLimit", scores, regions, outputs=5)
