"""ProposalTargetLayer of MNC, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.mnc.proposal_target import MncProposalTargetLayer
from tests.layers.contract import raises
from tests.layers.detection.frcnn import overlap
from tests.layers.harness import run
from tests.layers.mnc.reference import near, scene, targets

INSIDE, MEANS, STDS = (1.0, 2.0, 3.0, 4.0), (0.1, -0.1, 0.2, 0.0), (0.1, 0.2, 0.3, 0.4)
LAYER = MncProposalTargetLayer(
    5,
    INSIDE,
    MEANS,
    STDS,
    batch_size=1000,
    fg_fraction=(1.0,),
    fg_thresh_lo=(0.6,),
    fg_thresh_hi=(0.9,),
    bg_fraction=(0.5, 0.5),
    bg_thresh_lo=(0.3, 0.1),
    bg_thresh_hi=(0.5, 0.2),
)
OBJECTS, MASKS, SIZES = scene()
INFO = np.array([[100.0, 130.0, 2.0]])
REGIONS = near(OBJECTS, 60)
INDEX = np.arange(60)[None] * 7.0 + 3


def found(layer: MncProposalTargetLayer, seed: int = 0, regions=REGIONS):
    torch.manual_seed(seed)
    return run(layer, regions, OBJECTS, INFO, MASKS, SIZES, INDEX[:, : len(regions)], tops=10, training=True)


def most(box: np.ndarray) -> float:
    return max(overlap(box, one[:4]) for one in OBJECTS)


def test_all_proposals():
    regions, *others, positive, negative = found(LAYER)
    candidates = np.concatenate([REGIONS, np.pad(OBJECTS[:, :4], ((0, 0), (1, 0)))])
    overlaps = np.array([most(box[1:]) for box in candidates])
    of_objects = np.flatnonzero((overlaps >= 0.6) & (overlaps <= 0.9))
    background = np.flatnonzero(((overlaps >= 0.3) & (overlaps <= 0.5)) | ((overlaps >= 0.1) & (overlaps <= 0.2)))
    assert min(len(of_objects), len(background)) > 5
    chosen = [*of_objects, *background]
    np.testing.assert_array_equal(regions, candidates[chosen])
    np.testing.assert_array_equal(positive, INDEX[0, of_objects])
    np.testing.assert_array_equal(negative, INDEX[0, background])
    labels, codes, inside, outside, masks, mask_weights, info = others
    for i, row in enumerate(chosen):
        positive = row in of_objects
        label, code, weights, mask, match = targets(
            candidates[row, 1:], OBJECTS, MASKS, SIZES, 2.0, positive, 5, INSIDE, MEANS, STDS
        )
        assert labels[i] == label
        np.testing.assert_allclose(codes[i], code.ravel(), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(inside[i], weights.ravel())
        np.testing.assert_array_equal(outside[i], weights.ravel() > 0)
        np.testing.assert_array_equal(masks[i, 0], mask)
        assert (mask_weights[i] == positive).all()
        np.testing.assert_array_equal(info[i], match)
    assert 0.2 < masks[: len(of_objects)].mean() < 0.9


def test_objects_are_proposals_without_an_anchor():
    layer = replace(LAYER, fg_thresh_hi=(1.0,))
    regions, *_, positive, _ = found(layer)
    assert {tuple(row) for row in OBJECTS[:, :4]} < {tuple(row[1:]) for row in regions}
    at_most = np.array([most(box[1:]) for box in REGIONS])
    np.testing.assert_array_equal(positive, INDEX[0, at_most >= 0.6])


def test_a_random_part_of_each_range():
    layer = replace(
        LAYER, batch_size=15, fg_fraction=(0.3,), fg_thresh_hi=(1.0,), bg_fraction=(0.6, 0.25), bg_thresh_hi=(0.6, 0.3)
    )
    drawn = [found(layer, seed=seed)[:2] for seed in (0, 0, 1)]
    for regions, labels in drawn:
        overlaps = np.array([most(box[1:]) for box in regions])
        assert (labels > 0).sum() == 4  # 4.5 is rounded to even
        assert ((overlaps < 0.6) & (overlaps >= 0.3)).sum() == 7  # 0.6 of 11 is 6.6
        assert (overlaps < 0.3).sum() == 3  # 0.25 of 11 is 2.75
    np.testing.assert_array_equal(drawn[0][0], drawn[1][0])
    assert (drawn[0][0] != drawn[2][0]).any()


@pytest.mark.parametrize("bp_all", [True, False])
def test_regions_pass_the_gradient_on(bp_all):
    given = [torch.tensor(one, requires_grad=True) for one in (REGIONS, OBJECTS, INFO, MASKS, SIZES, INDEX)]
    tops = replace(LAYER, bp_all=bp_all).forward(given, (), Mode(True, 10))
    sent = torch.randn(tops[0].shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    tops[0].backward(sent)
    expected = np.zeros_like(REGIONS)
    rows = ((torch.cat(tops[8:]) - 3) / 7).long().numpy()
    count = len(rows) if bp_all else len(tops[8])
    expected[rows[:count]] = sent[:count]
    np.testing.assert_array_equal(given[0].grad, expected)
    assert all(one.grad is None for one in given[1:])
    assert not any(one.requires_grad for one in tops[1:])


def test_without_objects_all_is_background():
    layer = replace(LAYER, bg_thresh_lo=(0.1, 0.0))
    tops = run(layer, REGIONS, OBJECTS[:0], INFO, MASKS[:0], SIZES[:0], INDEX, tops=10)
    assert len(tops[0]) == 60
    assert not any(one.any() for one in tops[1:7])
    assert (tops[7] == -1).all()
    assert (len(tops[8]), len(tops[9])) == (0, 60)


NET = """
    layer {{ name: "d" type: "Input" top: "r" top: "o" top: "i" input_param {{
      shape {{ dim: 300 dim: 5 }} shape {{ dim: 4 dim: 5 }} shape {{ dim: 1 dim: 3 }} }} }}
    layer {{ name: "p" type: "Python" bottom: "r" bottom: "o" bottom: "i" top: "rois" top: "labels"
      python_param {{ module: "pylayer.proposal_target_layer" layer: "ProposalTargetLayer" param_str: "{text}" }} }}"""


def test_settings_without_masks(graph_from):
    text = "{'num_classes': 21, 'bp_all': 0, 'fg_fraction': [0.5]}"
    layer = graph_from(NET.format(text=text)).nodes[-1].layer
    wanted = MncProposalTargetLayer(
        21,
        bp_all=False,
        batch_size=128,
        fg_fraction=(0.5,),
        bg_fraction=(1.0,),
        bg_thresh_hi=(0.5,),
        bg_thresh_lo=(0.1,),
    )
    assert {**vars(layer), **dict.fromkeys(("module_name", "class_name", "param_str"), "")} == vars(wanted)
    regions, labels = run(layer, REGIONS, OBJECTS, INFO, tops=2)
    assert set(labels) == {0, 1, 3, 4}
    assert len(regions) == len(labels)


def test_shapes():
    shapes = ((300, 5), (4, 5), (1, 3), (4, 90, 80), (4, 2), (1, 300))
    unknown, codes, masks = (UNKNOWN,), (UNKNOWN, 20), (UNKNOWN, 1, 21, 21)
    known = ((UNKNOWN, 5), unknown, codes, codes, codes)
    assert LAYER.infer(shapes, 10) == (*known, masks, masks, (UNKNOWN, 12), unknown, unknown)
    assert LAYER.infer(shapes[:5], 8) == (*known, masks, masks, (UNKNOWN, 12))
    assert LAYER.infer(shapes[:3], 5) == known
    with raises("E102", "3 bottoms make at most 5 tops, got 8"):
        LAYER.infer(shapes[:3], 8)
    with raises("E102", "expected 3, 5, 6 bottoms, got 4"):
        LAYER.infer(shapes[:4], 5)
    with raises("E102", "expected a mask of each object"):
        LAYER.infer((*shapes[:3], (3, 90, 80), *shapes[4:]), 10)
    with raises("E102", "expected the height and width of each object's mask"):
        LAYER.infer((*shapes[:4], (4, 3), shapes[5]), 10)
    with raises("E102", "expected the index of each region's anchor"):
        LAYER.infer((*shapes[:5], (1, 299)), 10)
    with raises("E103", "expected as many values of bg_fraction, bg_thresh_lo, bg_thresh_hi"):
        replace(LAYER, bg_thresh_lo=(0.1,)).infer(shapes, 10)
    with raises("E103", "expected 4 values of `bbox_normalize_means`"):
        replace(LAYER, bbox_normalize_means=(0.0,)).infer(shapes, 10)
