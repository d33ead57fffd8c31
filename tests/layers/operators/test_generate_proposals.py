"""GenerateProposals, GenerateProposalsCPP."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.detectron import clipped, decoded, greedy
from tests.layers.operators.single import raises, reals, run

INFO = np.array([[40.7, 60.2, 1.5], [30, 30, 0.5]], np.float32)
ANCHORS = np.array([[-6, -6, 9, 9], [-14, -3, 17, 6], [-2, -12, 5, 15]], np.float32)
ROTATED = np.array([[1, 1, 16, 16, 0], [1, 1, 30, 10, 20], [1, 1, 8, 26, -60]], np.float32)


def inputs(anchors):
    generator = np.random.default_rng(3)
    scores = generator.permutation(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).astype(np.float32) / 120
    codes = 0.4 * generator.standard_normal((2, 3 * anchors.shape[1], 4, 5)).astype(np.float32)
    codes[:, 2] += 5 * (codes[:, 2] > 0.7)  # some beyond the largest step
    return scores, codes, INFO, anchors


def expected(scores, codes, info, anchors, before, after, threshold, smallest, plus=1):
    numbers = anchors.shape[1]
    rows, kept_scores = [], []
    for n, (height, width, scale) in enumerate(info):
        candidates = []
        for a, y, x in np.ndindex(*scores.shape[1:]):
            shift = np.array([8 * x, 8 * y, 8 * x, 8 * y] if numbers == 4 else [8 * x, 8 * y, 0, 0, 0])
            code = codes[n].reshape(3, numbers, 4, 5)[a, :, y, x].astype(np.float64)
            candidates.append((scores[n, a, y, x], anchors[a].astype(np.float64) + shift, code))
        candidates = sorted(candidates, key=lambda c: -c[0])[:before]
        boxes = [clipped(decoded(box, code, plus=plus), int(height), int(width), plus) for _, box, code in candidates]
        usable = []
        for i, box in enumerate(boxes):
            w, h = (box[2], box[3]) if numbers == 5 else (box[2] - box[0] + plus, box[3] - box[1] + plus)
            x, y = (box[0], box[1]) if numbers == 5 else (box[0] + w / 2, box[1] + h / 2)
            if min(w, h) >= smallest * scale and x < width and y < height:
                usable.append(i)
        boxes, values = np.array([boxes[i] for i in usable]), [candidates[i][0] for i in usable]
        kept = greedy(boxes, values, threshold, plus, after or -1)
        rows += [[n, *boxes[i]] for i in kept]
        kept_scores += [values[i] for i in kept]
    return np.array(rows), np.array(kept_scores)


@pytest.mark.parametrize("anchors", [ANCHORS, ROTATED], ids=["upright", "rotated"])
@pytest.mark.parametrize(("before", "after", "smallest", "plus"), [(40, 7, 2.0, 1), (0, 0, 9.0, 1), (30, 100, 4.0, 0)])
def test_proposals(anchors, before, after, smallest, plus):
    options = {"pre_nms_topN": before, "post_nms_topN": after, "min_size": smallest, "legacy_plus_one": plus}
    given = inputs(anchors)
    rows, scores = expected(*given, before or None, after, 0.4, smallest, plus)
    found = run("GenerateProposals", *given, outputs=2, spatial_scale=0.125, nms_thresh=0.4, **options)
    np.testing.assert_allclose(found[1], scores)
    np.testing.assert_allclose(found[0], rows, rtol=1e-4, atol=1e-4)


def test_defaults():
    given = inputs(ANCHORS)
    rows, scores = expected(*given, 6000, 300, 0.7, 16.0)
    rois, found = run("GenerateProposalsCPP", *given, outputs=2, spatial_scale=0.125, nms_thres=0.1)
    np.testing.assert_allclose(found, scores)
    np.testing.assert_allclose(rois, rows, rtol=1e-4, atol=1e-4)


def test_angles_stay_in_bounds():
    scores, codes, info, anchors = inputs(ROTATED)
    codes = 8 * codes
    options = {"spatial_scale": 0.125, "min_size": 0.0}
    free = run("GenerateProposals", scores, codes, info, anchors, outputs=2, angle_bound_on=0, **options)[0][:, 5]
    bounded = run("GenerateProposals", scores, codes, info, anchors, outputs=2, **options)[0][:, 5]
    assert abs(free).max() > 90 > np.median(abs(bounded))
    with raises("E103", "multiple of 180"):
        run("GenerateProposals", scores, codes, info, anchors, outputs=2, angle_bound_hi=100)


def test_no_images():
    scores, codes, info, anchors = inputs(ANCHORS)
    rois, found = run("GenerateProposals", scores[:0], codes[:0], info[:0], anchors, outputs=2)
    assert rois.shape == (0, 5)
    assert found.shape == (0,)


@pytest.mark.parametrize(
    ("index", "shape"), [(0, (2, 3, 4)), (1, (2, 11, 4, 5)), (2, (1, 3)), (3, (3, 6)), (3, (2, 4))]
)
def test_inputs_that_do_not_match(index, shape):
    given = list(inputs(ANCHORS))
    given[index] = reals(*shape)
    with raises("E102"):
        run("GenerateProposals", *given, outputs=2)
