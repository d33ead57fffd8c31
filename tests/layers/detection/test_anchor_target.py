"""AnchorTargetLayer of py-faster-rcnn, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.detection.anchor_target import AnchorTargetLayer
from tests.layers.contract import raises
from tests.layers.detection.frcnn import anchor_targets
from tests.layers.harness import run

LAYER = AnchorTargetLayer(
    feat_stride=8,
    ratios=(0.5, 1.0),
    scales=(1.0, 3.0),
    base_size=8,
    allowed_border=2.0,
    positive_overlap=0.6,
    batch_size=10_000,
    fg_fraction=1.0,
    bbox_inside_weights=(1.0, 2.0, 3.0, 4.0),
)
OBJECTS = np.array([[5.0, 6, 20, 15, 3], [30, 10, 55, 40, 1], [28, 12, 52, 41, 2], [2, 30, 9, 37, 1]])
SIZE = (46.0, 58.0)


def targets(layer: AnchorTargetLayer, objects=OBJECTS, seed: int = 0):
    torch.manual_seed(seed)
    scores, info = np.zeros((1, 8, 6, 7)), np.array([[*SIZE, 1.0]])
    return run(layer, scores, objects, info, np.zeros((1, 3, 4, 4)), tops=4, training=True)


def by_anchor(found: np.ndarray, columns: int) -> np.ndarray:
    """(4, 6, 7, columns): by anchor and position."""
    return found.reshape(4, columns, 6, 7).transpose(0, 2, 3, 1)


@pytest.mark.parametrize("clobber", [False, True])
@pytest.mark.parametrize("weight", [-1.0, 0.25])
def test_labels_and_codes(clobber, weight):
    layer = replace(LAYER, clobber_positives=clobber, positive_weight=weight, negative_overlap=0.35)
    labels, codes, inside, outside = targets(layer)
    expected, wanted = anchor_targets(layer, OBJECTS, SIZE, 6, 7)
    assert labels.shape == (1, 1, 24, 7)
    found = by_anchor(labels, 1)[..., 0]
    counts = {label: list(expected.values()).count(label) for label in (1, 0)}
    assert all(counts.values())
    each = {1: weight / counts[1], 0: (1 - weight) / counts[0]}
    if weight < 0:
        each = dict.fromkeys((1, 0), 1 / sum(counts.values()))
    for at in np.ndindex(4, 6, 7):
        label = expected.get(at, -1)
        assert found[at] == label
        np.testing.assert_allclose(by_anchor(codes, 4)[at], wanted.get(at, np.zeros(4)), rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(by_anchor(inside, 4)[at], (label == 1) * np.array([1.0, 2, 3, 4]))
        np.testing.assert_allclose(by_anchor(outside, 4)[at], np.full(4, each.get(label, 0.0)), rtol=1e-12)


def test_a_random_part_keeps_its_label():
    full = targets(LAYER)[0]
    layer = replace(LAYER, batch_size=12, fg_fraction=0.25)
    drawn = [targets(layer, seed=seed)[0] for seed in (0, 0, 1)]
    for labels in drawn:
        assert (labels == 1).sum() == 3
        assert (labels == 0).sum() == 9
        assert (full[labels >= 0] == labels[labels >= 0]).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()


def test_without_objects_all_anchors_inside_are_background():
    labels, codes, inside, _ = targets(LAYER, np.zeros((0, 5)))
    expected, _ = anchor_targets(LAYER, OBJECTS, SIZE, 6, 7)
    assert (labels == 0).sum() == len(expected)
    assert not (labels == 1).any()
    assert not codes.any()
    assert not inside.any()


def test_no_anchor_inside():
    labels, *_ = targets(replace(LAYER, scales=(30.0, 40.0)))
    assert (labels == -1).all()


def test_shapes():
    layer = AnchorTargetLayer()
    found = layer.infer(((1, 18, UNKNOWN, 63), (UNKNOWN, 5), (1, 3), (1, 3, 600, 1000)), 4)
    assert found == ((1, 1, UNKNOWN, 63), *((1, 36, UNKNOWN, 63),) * 3)
    with raises("E102", "expected objects of 5 numbers"):
        layer.infer(((1, 18, 38, 63), (4, 4), (1, 3)), 4)
    with raises("E102", "expected scores of a batch of 1 image"):
        layer.infer(((2, 18, 38, 63), (4, 5), (1, 3)), 4)
    with raises("E103", "expected 4 inside weights"):
        replace(layer, positive_weight=1.0).infer(((1, 18, 38, 63), (4, 5), (1, 3)), 4)
    assert layer.to_caffe() == {"module": "rpn.anchor_target_layer", "layer": "AnchorTargetLayer"}


def test_shapes_are_static():
    bottoms = [torch.empty(shape, device="meta") for shape in ((1, 18, 9, 8), (4, 5), (1, 3), (1, 3, 9, 9))]
    tops = AnchorTargetLayer().forward(bottoms, (), Mode(True, 4))
    assert [tuple(top.shape) for top in tops] == [(1, 1, 81, 8), *((1, 36, 9, 8),) * 3]
