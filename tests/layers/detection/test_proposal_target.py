"""ProposalTargetLayer of py-faster-rcnn, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.proposal_target import ProposalTargetLayer
from tests.layers.contract import raises
from tests.layers.detection.frcnn import code, overlap
from tests.layers.harness import run

MEANS, STDS, INSIDE = (0.1, -0.1, 0.2, 0.0), (0.1, 0.2, 0.3, 0.4), (1.0, 2.0, 3.0, 4.0)
LAYER = ProposalTargetLayer(5, 1000, 1.0, 0.6, 0.5, 0.1, INSIDE, MEANS, STDS)
OBJECTS = np.array([[5.0, 6, 40, 35, 3], [30, 10, 75, 60, 1], [2, 50, 30, 90, 4]])


def regions(count: int = 60) -> np.ndarray:
    """Boxes near the objects."""
    random = np.random.default_rng(4)
    boxes = OBJECTS[random.integers(3, size=count), :4] + random.normal(scale=8, size=(count, 4))
    return np.concatenate([np.zeros((count, 1)), boxes], 1)


def targets(layer: ProposalTargetLayer, given=None, objects=OBJECTS, seed: int = 0):
    torch.manual_seed(seed)
    return run(layer, regions() if given is None else given, objects, tops=5, training=True)


def expected(layer: ProposalTargetLayer, box: np.ndarray):
    """The label of a proposal (None where it is never drawn) and its codes."""
    overlaps = [overlap(box, one[:4]) for one in OBJECTS]
    best = int(np.argmax(overlaps))
    if overlaps[best] >= layer.fg_thresh:
        return OBJECTS[best, 4], (code(box, OBJECTS[best, :4]) - MEANS) / STDS
    return (0, None) if layer.bg_thresh_lo <= overlaps[best] < layer.bg_thresh_hi else (None, None)


def test_all_proposals():
    drawn, labels, codes, inside, outside = targets(LAYER)
    wanted = {tuple(row): expected(LAYER, row[1:]) for row in [*regions(), *np.pad(OBJECTS[:, :4], ((0, 0), (1, 0)))]}
    wanted = {row: value for row, value in wanted.items() if value[0] is not None}
    assert {tuple(row) for row in drawn} == set(wanted)
    assert len(drawn) == len(wanted) > 10
    assert (np.diff((labels > 0).astype(int)) <= 0).all()  # those of objects come first
    for row, label, own, weights, outer in zip(drawn, labels, codes, inside, outside):
        of, moved = wanted[tuple(row)]
        assert label == of
        columns, weighted = np.zeros((5, 4)), np.zeros((5, 4))
        if of:
            columns[int(of)], weighted[int(of)] = moved, INSIDE
        np.testing.assert_allclose(own, columns.ravel(), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(weights, weighted.ravel())
        np.testing.assert_array_equal(outer, weighted.ravel() > 0)


def test_a_random_part_of_each_kind():
    everything = {tuple(row) for row in targets(LAYER)[0]}
    layer = replace(LAYER, batch_size=10, fg_fraction=0.45)
    drawn = [targets(layer, seed=seed)[:2] for seed in (0, 0, 1)]
    for found, labels in drawn:
        assert {tuple(row) for row in found} <= everything
        assert ((labels > 0).sum(), (labels == 0).sum()) == (4, 6)  # 4.5 is rounded to even
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    assert (drawn[0][0] != drawn[2][0]).any()


def test_without_objects_all_proposals_are_background():
    drawn, labels, codes, inside, outside = targets(replace(LAYER, bg_thresh_lo=0.0), objects=np.zeros((0, 5)))
    assert len(drawn) == 60
    assert not any(one.any() for one in (labels, codes, inside, outside))


def test_nothing_to_draw():
    found = targets(LAYER, given=np.array([[0.0, 500, 500, 600, 600]]), objects=np.zeros((0, 5)))
    assert [one.shape for one in found] == [(0, 5), (0,), (0, 20), (0, 20), (0, 20)]


@pytest.mark.parametrize("label", [5, -1])
def test_a_class_out_of_range_is_an_error(label):
    with raises("E301", "class of an object outside 0 to 4"):
        targets(LAYER, objects=np.array([[1.0, 1, 9, 9, label]]))


def test_shapes():
    layer = ProposalTargetLayer(21)
    assert layer.infer(((UNKNOWN, 5), (UNKNOWN, 5)), 5) == ((UNKNOWN, 5), (UNKNOWN,), *((UNKNOWN, 84),) * 3)
    with raises("E103", "`num_classes` must be one or more positive numbers"):
        ProposalTargetLayer().infer(((9, 5), (2, 5)), 5)
    with raises("E103", "expected 4 values of `bbox_normalize_stds`"):
        replace(layer, bbox_normalize_stds=(1.0, 1.0)).infer(((9, 5), (2, 5)), 5)
    with raises("E102", "expected regions of 5 numbers"):
        layer.infer(((9, 4), (2, 5)), 5)
