"""Matching of boxes and objects against the loops of `bbox_util.cpp` (MatchBBox), in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from netc.functions.box_matching import match


def expected(overlaps, threshold, per_prediction, ignored):  # noqa: C901 - the loops of the source
    boxes, objects = overlaps.shape
    matches, best = [-1] * boxes, [0.0] * boxes
    for i in range(boxes):
        if ignored[i]:
            matches[i] = -2
        else:
            best[i] = max([o for o in overlaps[i] if o > 1e-6], default=0)
    pool = list(range(objects))
    while pool:
        largest, chosen = -1.0, None
        for i in range(boxes):
            for j in pool:
                if matches[i] == -1 and overlaps[i, j] > 1e-6 and overlaps[i, j] > largest:
                    largest, chosen = overlaps[i, j], (i, j)
        if chosen is None:
            break
        matches[chosen[0]], best[chosen[0]] = chosen[1], largest
        pool.remove(chosen[1])
    for i in range(boxes if per_prediction else 0):
        if matches[i] == -1:
            for j in range(objects):
                if overlaps[i, j] > 1e-6 and overlaps[i, j] >= threshold and overlaps[i, j] == max(overlaps[i]):
                    matches[i], best[i] = j, overlaps[i, j]
                    break
    return matches, best


@pytest.mark.parametrize("per_prediction", [True, False])
@pytest.mark.parametrize(("boxes", "objects"), [(9, 4), (3, 7), (5, 1), (4, 0), (0, 2)])
def test_matches_are_those_of_the_loops(boxes, objects, per_prediction):
    for seed in range(20):
        random = np.random.default_rng(seed)
        overlaps = (random.random((boxes, objects)) * 6).round() / 6 * random.integers(0, 2, (boxes, objects))
        ignored = random.random(boxes) < 0.2
        found = match(overlaps, 0.5, per_prediction, ignored)
        assert [part.tolist() for part in found] == list(expected(overlaps, 0.5, per_prediction, ignored))
