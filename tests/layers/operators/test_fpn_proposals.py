"""CollectRpnProposals, DistributeFpnProposals, CollectAndDistributeFpnRpnProposals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.layers.operators.single import raises, reals, run

LEVELS = {"rpn_min_level": 2, "rpn_max_level": 4}
SCALE = {"roi_canonical_scale": 20, "roi_canonical_level": 3, "roi_min_level": 2, "roi_max_level": 4}


def proposals(count, seed):
    generator = np.random.default_rng(seed)
    corner, size = generator.uniform(0, 30, (count, 2)), np.exp(generator.uniform(0, 4.5, (count, 2)))
    image = generator.integers(0, 2, (count, 1))
    return np.concatenate((image, corner, corner + size), 1).astype(np.float32)


def collected(rois, scores, limit):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[:limit]
    return rois[order]


def distributed(rois, plus=1):
    level = []
    for _, x1, y1, x2, y2 in rois.tolist():
        found = math.floor(3 + math.log2(math.sqrt((x2 - x1 + plus) * (y2 - y1 + plus)) / 20 + 1e-6))
        level.append(min(max(found, 2), 4))
    parts = [rois[[i for i in range(len(rois)) if level[i] == k]] for k in (2, 3, 4)]
    order = [i for k in (2, 3, 4) for i in range(len(rois)) if level[i] == k]
    return parts, np.argsort(order)


@pytest.mark.parametrize("limit", [5, 0, 1000])
def test_collected(limit):
    parts = [proposals(count, seed) for seed, count in enumerate((6, 0, 4))]
    scores = [reals(len(part), 1, seed=seed) for seed, part in enumerate(parts)]
    scores[2][:] = scores[0][:4]  # ties keep the order of the levels
    want = collected(np.concatenate(parts), np.concatenate(scores).ravel(), limit or None)
    found = run("CollectRpnProposals", *parts, *scores, rpn_post_nms_topN=limit, **LEVELS)
    np.testing.assert_array_equal(found, want)
    levels, order = distributed(want)
    options = LEVELS | SCALE | {"rpn_post_nms_topN": limit}
    both = run("CollectAndDistributeFpnRpnProposals", *parts, *scores, outputs=5, **options)
    for array, expected in zip(both, (want, *levels, order)):
        np.testing.assert_array_equal(array, expected)
    assert both[4].dtype == np.int32


@pytest.mark.parametrize("plus", [1, 0])
def test_distributed(plus):
    rois = proposals(20, 5)
    *parts, order = run("DistributeFpnProposals", rois, outputs=4, legacy_plus_one=plus, **SCALE)
    levels, expected = distributed(rois, plus)
    assert all(len(level) for level in levels)
    for part, level in zip(parts, levels):
        np.testing.assert_array_equal(part, level)
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(np.concatenate(parts)[order], rois)


def test_no_proposals():
    found = run("DistributeFpnProposals", reals(0, 5), outputs=5)
    assert [array.shape for array in found] == [(0, 5)] * 4 + [(0,)]


def test_they_refuse():
    rois = proposals(4, 0)
    with raises("E020", "6 inputs, got 2"):
        run("CollectRpnProposals", rois, reals(4), **LEVELS)
    with raises("E020", "5 outputs, got 3"):
        run("DistributeFpnProposals", rois, outputs=3)
    with raises("E103", "below"):
        run("DistributeFpnProposals", rois, outputs=3, roi_max_level=1)
    with raises("E102", "one score per proposal"):
        run("CollectRpnProposals", rois, reals(3), rpn_max_level=2)
    with raises("E102", "5 numbers"):
        run("DistributeFpnProposals", rois[:, 1:], outputs=5)
    with raises("E301", "negative area"):
        run("DistributeFpnProposals", np.array([[0, 9, 0, 0, 5]], np.float32), outputs=5)
