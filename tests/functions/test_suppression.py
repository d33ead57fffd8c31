"""Non-maximum suppression against the greedy algorithm over single boxes, in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.functions import suppression
from netc.functions.boxes import iou
from netc.functions.suppression import nms, nms_of_classes, ranked
from tests.functions.test_boxes import some


def greedy(boxes, scores, threshold, eta=1.0, inclusive=False) -> list[int]:
    overlaps = iou(boxes, boxes, inclusive).numpy()
    kept: list[int] = []
    for i in np.argsort(-scores.numpy(), kind="stable"):
        if all(overlaps[i, k] <= threshold for k in kept):
            kept.append(int(i))
            threshold *= eta if eta < 1 and threshold > 0.5 else 1
    return kept


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("eta", [1.0, 0.9])
@pytest.mark.parametrize("n", [0, 1, 37, 300])
def test_keeps_what_the_greedy_algorithm_keeps(n, eta, inverted, inclusive):
    boxes, scores = some(n, n, inverted), (torch.rand(n, dtype=torch.float64) * 20).round()
    expected = greedy(boxes, scores, 0.55, eta, inclusive)
    assert nms(boxes, scores, 0.55, eta=eta, inclusive=inclusive).tolist() == expected
    assert nms(boxes, scores, 0.55, eta=eta, limit=5, inclusive=inclusive).tolist() == expected[:5]


@pytest.mark.parametrize("pairs", [1, 10_000])
def test_blocks_do_not_change_the_result(monkeypatch, pairs):
    boxes, scores = some(200, 5), torch.rand(200)
    expected = greedy(boxes, scores, 0.4)
    monkeypatch.setattr(suppression, "PAIRS", pairs)
    monkeypatch.setattr(suppression, "BLOCK", 3)
    assert nms(boxes, scores, 0.4).tolist() == expected


def test_an_overlap_equal_to_the_threshold_is_kept():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]])
    assert nms(boxes, torch.tensor([1.0, 0.5]), 0.5).tolist() == [0, 1]
    assert nms(boxes, torch.tensor([1.0, 0.5]), 0.49).tolist() == [0]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("top", [None, 1, 20, 500])
def test_classes_are_independent(shared, top):
    classes, n = 7, 120
    boxes = torch.stack([some(n, seed) for seed in range(classes)])
    scores = (torch.rand(classes, n, generator=torch.Generator().manual_seed(1)) * 30).round() / 30
    scores[2], scores[3, 5:], scores[4, ::2] = 0, 0, torch.nan
    expected = []
    for c in range(classes):
        own = boxes[0 if shared else c]
        order = sorted((i for i in range(n) if scores[c, i] > 0.2), key=lambda i: -scores[c, i])[:top]
        expected += [(c, order[i]) for i in greedy(own[order], scores[c][order], 0.45)]
    found = nms_of_classes(boxes[0] if shared else boxes, scores, 0.45, lowest=0.2, top=top)
    assert list(zip(*(part.tolist() for part in found))) == expected


def test_scores_that_are_not_numbers_come_last():
    values, columns = ranked(torch.tensor([[torch.nan, 0.5, torch.inf, 0.5]]), 0.0, 3)
    assert values.tolist() == [[torch.inf, 0.5, 0.5]]
    assert columns.tolist() == [[2, 1, 3]]


def test_half_precision_boxes_are_compared_in_single_precision():
    boxes, scores = some(50, 9).half(), torch.rand(50)
    assert nms(boxes, scores, 0.5).tolist() == greedy(boxes.float(), scores, 0.5)
