"""AnchorTargetLayer of FPN, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.anchor_target import AnchorTargetLayer
from netc.layers.fpn.anchor_target import PyramidAnchorTargetLayer
from tests.layers.contract import raises
from tests.layers.detection.frcnn import anchors, code, overlap, placed
from tests.layers.harness import run

LAYER = PyramidAnchorTargetLayer(
    feat_stride=(8, 16),
    ratios=(0.5, 1.0),
    scales=(1.0, 3.0),
    allowed_border=4.0,
    positive_overlap=0.6,
    batch_size=10_000,
    fg_fraction=1.0,
    bbox_inside_weights=(1.0, 2.0, 3.0, 4.0),
)
OBJECTS = np.array([[5.0, 6, 20, 15, 3], [30, 10, 55, 40, 1], [28, 12, 52, 41, 2], [16, 15, 31, 31, 2]])
SIZE, EXTENTS = (46.0, 58.0), ((6, 7), (3, 4))


def targets(layer: PyramidAnchorTargetLayer, objects=OBJECTS, seed: int = 0):
    torch.manual_seed(seed)
    scores = [np.zeros((1, 8, *extents)) for extents in EXTENTS]
    return run(layer, *scores, objects, np.array([[*SIZE, 1.0]]), tops=4, training=True)


def expected(layer: PyramidAnchorTargetLayer, objects: np.ndarray) -> dict[tuple[int, ...], tuple[int, np.ndarray]]:
    """The label before sampling and the code of each anchor inside the image, by (level, anchor, y, x)."""
    inside = []
    for level, (stride, extents) in enumerate(zip(layer.feat_stride, EXTENTS)):
        for at, box in placed(anchors(stride, layer.ratios, layer.scales), stride, *extents):
            low, high = box[:2].min(), box[2:] - np.array(SIZE)[::-1]
            if low >= -layer.allowed_border and high.max() < layer.allowed_border:
                inside.append(((level, *at), box))
    overlaps = np.array([[overlap(box, one) for one in objects[:, :4]] for _, box in inside])
    found = {}
    for (at, box), row in zip(inside, overlaps):
        positive = (row == overlaps.max(0)).any() or row.max() >= layer.positive_overlap
        label = 1 if positive else 0 if row.max() < layer.negative_overlap else -1
        found[at] = label, code(box, objects[row.argmax(), :4]) if label == 1 else np.zeros(4)
    return found


@pytest.mark.parametrize("weight", [-1.0, 0.25])
def test_labels_and_codes(weight):
    layer = replace(LAYER, positive_weight=weight)
    labels, codes, inside, outside = targets(layer)
    wanted = expected(layer, OBJECTS)
    counts = {label: [one for one, _ in wanted.values()].count(label) for label in (1, 0)}
    assert all(counts.values())
    assert {at[0] for at, (label, _) in wanted.items() if label == 1} == {0, 1}
    each = {1: weight / counts[1], 0: (1 - weight) / counts[0], -1: 0}
    if weight < 0:
        each = {1: 1 / sum(counts.values()), 0: 1 / sum(counts.values()), -1: 0}
    start = 0
    assert labels.shape == (1, 4 * (42 + 12))
    assert codes.shape == inside.shape == outside.shape == (1, 16, 42 + 12)
    for level, (height, width) in enumerate(EXTENTS):
        size = height * width
        own = labels[0, 4 * start : 4 * (start + size)].reshape(4, height, width)
        maps = [one[0, :, start : start + size].reshape(4, 4, height, width) for one in (codes, inside, outside)]
        for a, y, x in np.ndindex(4, height, width):
            label, moved = wanted.get((level, a, y, x), (-1, np.zeros(4)))
            assert own[a, y, x] == label
            np.testing.assert_allclose(maps[0][a, :, y, x], moved, rtol=1e-9, atol=1e-12)
            np.testing.assert_array_equal(maps[1][a, :, y, x], [1, 2, 3, 4] if label == 1 else [0] * 4)
            np.testing.assert_allclose(maps[2][a, :, y, x], [each[label]] * 4, rtol=1e-9)
        start += size


def test_labels_are_drawn_from_all_levels_together():
    layer = replace(LAYER, batch_size=9, fg_fraction=0.4)
    everything = targets(LAYER)[0]
    labels, codes, *_ = targets(layer)
    assert ((labels == 1).sum(), (labels == 0).sum()) == (3, 6)
    assert (labels[labels >= 0] == everything[labels >= 0]).all()
    np.testing.assert_array_equal(labels, targets(layer)[0])
    assert (codes[0].reshape(4, 4, -1) != 0).any(1).sum() <= 3
    assert (labels != targets(layer, seed=1)[0]).any()


def test_without_objects_all_anchors_are_background():
    labels, codes, inside, outside = targets(LAYER, objects=np.zeros((0, 5)))
    count = len(expected(LAYER, OBJECTS))
    assert ((labels == 0).sum(), (labels == -1).sum()) == (count, 216 - count)
    assert not codes.any()
    assert not inside.any()
    np.testing.assert_allclose(outside.max(), 1 / count)


def test_one_level_is_that_of_py_faster_rcnn():
    common = {"ratios": (0.5, 1.0), "scales": (1.0, 3.0), "allowed_border": 3.0, "batch_size": 9999}
    given = np.zeros((1, 8, 6, 7)), OBJECTS, np.array([[*SIZE, 1.0]])
    found = run(PyramidAnchorTargetLayer(feat_stride=(8,), **common), *given, tops=4, training=True)
    plain = run(AnchorTargetLayer(feat_stride=8, base_size=8, **common), *given, tops=4, training=True)
    for own, other in zip(found[:1] + found[2:], plain[:1] + plain[2:]):
        np.testing.assert_array_equal(own.ravel(), other.ravel())


def test_shapes():
    scores = (1, 12, 6, 9), (1, 12, 3, 5)
    layer = PyramidAnchorTargetLayer(feat_stride=(8, 16))
    assert layer.infer((*scores, (UNKNOWN, 5), (1, 3)), 4) == ((1, 414), *((1, 24, 69),) * 3)
    assert layer.no_gradient == (0, 1, 2, 3)
    with raises("E102", "2 strides need 4 bottoms, got 5"):
        layer.infer((*scores, scores[1], (UNKNOWN, 5), (1, 3)), 4)
    with raises("E102", r"expected scores of a batch of 1 image, got \[2,12,3,5\]"):
        layer.infer((scores[0], (2, 12, 3, 5), (UNKNOWN, 5), (1, 3)), 4)
    with raises("E103", "expected ascending integers as `feat_stride`"):
        replace(layer, feat_stride=(16, 8)).infer((*scores, (UNKNOWN, 5), (1, 3)), 4)


def test_strides_of_a_file(graph_from):
    graph = graph_from("""
        layer { name: "d" type: "Input" top: "s" top: "t" top: "u" top: "g" top: "i" input_param {
          shape { dim: 1 dim: 12 dim: 6 dim: 9 } shape { dim: 1 dim: 12 dim: 3 dim: 5 }
          shape { dim: 1 dim: 12 dim: 2 dim: 3 } shape { dim: 2 dim: 5 } shape { dim: 1 dim: 3 } } }
        layer { name: "p" type: "Python" bottom: "s" bottom: "t" bottom: "u" bottom: "g" bottom: "i" top: "labels"
          python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
            param_str: "'feat_stride': 8,16,32" } }""")
    layer = graph.nodes[-1].layer
    assert isinstance(layer, PyramidAnchorTargetLayer)
    assert layer.feat_stride == (8, 16, 32)
    assert layer.to_caffe()["param_str"] == "'feat_stride': 8,16,32"
    assert replace(layer, feat_stride=(2, 4), batch_size=3).to_caffe()["param_str"] == (
        "'batch_size': 3\n'feat_stride': 2,4"
    )
