"""ProposalLayer of FPN, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.layer import Mode
from netc.layers.detection.proposal import ProposalLayer
from netc.layers.fpn.proposal import PyramidProposalLayer
from tests.layers.contract import raises
from tests.layers.detection.frcnn import anchors, moved, placed, suppressed
from tests.layers.harness import run

LAYER = PyramidProposalLayer(
    feat_stride=(8, 16),
    ratios=(0.5, 1.0),
    scales=(1.0, 2.0),
    pre_nms_topn=(60, 40),
    post_nms_topn=(20, 7),
    nms_thresh=(0.6, 0.5),
    min_size=(4.0, 3.0),
)
EXTENTS = ((6, 7), (4, 4))
SIZE = (45.0, 57.0)
"""Whole strides of 8: 5 by 7; of 16: 2 by 3."""


def bottoms(seed: int = 0):
    """Image information, codes and distinct scores."""
    random = np.random.default_rng(seed)
    order = iter(random.permutation(8 * (42 + 16)) / 600)
    scores = [np.fromiter(order, float, 8 * h * w).reshape(1, 8, h, w) for h, w in EXTENTS]
    codes = [random.normal(scale=0.4, size=(1, 16, h, w)) for h, w in EXTENTS]
    return np.array([[*SIZE, 2.0]]), *codes, *scores


def expected(layer: PyramidProposalLayer, at: int, given) -> np.ndarray:
    """The boxes that are kept, the best first."""
    found = []
    for level, stride in enumerate(layer.feat_stride):
        codes, scores = given[1 + level][0], given[3 + level][0]
        height, width = int(SIZE[0] / stride), int(SIZE[1] / stride)
        for (a, y, x), box in placed(anchors(stride, layer.ratios, layer.scales), stride, height, width):
            limits = np.array([SIZE[1], SIZE[0]] * 2) - 1
            predicted = np.maximum(np.minimum(moved(box, codes[4 * a : 4 * a + 4, y, x]), limits), 0)
            if (predicted[2:] - predicted[:2] + 1).min() >= layer.min_size[at] * 2.0:
                found.append((scores[4 + a, y, x], predicted))
    found.sort(key=lambda one: -one[0])
    boxes = [box for _, box in found[: layer.pre_nms_topn[at]]]
    return np.array([boxes[i] for i in suppressed(boxes, layer.nms_thresh[at])[: layer.post_nms_topn[at]]])


@pytest.mark.parametrize("training", [True, False])
def test_the_best_boxes_of_all_levels(training):
    given = bottoms()
    wanted = expected(LAYER, 0 if training else 1, given)
    (regions,) = run(LAYER, *given, training=training)
    assert regions.shape == ((20, 5) if training else (7, 5))
    assert not regions[:, 0].any()
    np.testing.assert_allclose(regions[: len(wanted), 1:], wanted, rtol=1e-9, atol=1e-9)


def test_boxes_are_repeated_at_random_where_too_few_are_left():
    layer, given = replace(LAYER, post_nms_topn=(100, 100)), bottoms(1)
    wanted = expected(layer, 1, given)
    assert 3 < len(wanted) < 60
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(run(layer, *given)[0])
    for regions in found:
        assert regions.shape == (100, 5)
        np.testing.assert_allclose(regions[: len(wanted), 1:], wanted, rtol=1e-9, atol=1e-9)
        assert {tuple(row) for row in regions} == {tuple(row) for row in regions[: len(wanted)]}
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
    assert len(run(replace(layer, post_nms_topn=(0, 0)), *given)[0]) == len(wanted)


def test_nothing_large_enough_is_no_region():
    info, *maps = bottoms()
    info[0, 2] = 100
    assert run(LAYER, info, *maps)[0].shape == (0, 5)


def test_the_gradient_ends_here():
    given = [torch.tensor(one, requires_grad=True) for one in bottoms()]
    assert not LAYER.forward(given, (), Mode(True, 1)).requires_grad


def test_shapes():
    info, codes, scores = (1, 3), ((1, 16, 6, 7), (1, 16, 4, 4)), ((1, 8, 6, 7), (1, 8, 4, 4))
    assert LAYER.no_gradient == (0, 1, 2, 3, 4)
    with raises("E102", "2 strides need 5 bottoms, got 3"):
        LAYER.infer((info, codes[0], scores[0]), 1)
    with raises("E102", "differ in size"):
        LAYER.infer((info, *codes, scores[1], scores[0]), 1)
    with raises("E102", "expected scores of 8 channels for 4 anchors"):
        LAYER.infer((info, *scores, *codes), 1)
    with raises("E103", "`feat_stride` must be one or more positive numbers"):
        replace(LAYER, feat_stride=(0, 8)).infer((info, *codes, *scores), 1)


OF_ONE = {"s": (1, 18, 6, 9), "c": (1, 36, 6, 9), "i": (1, 3)}
OF_TWO = {"i": (1, 3), "c": (1, 24, 6, 9), "d": (1, 24, 3, 5), "s": (1, 12, 6, 9), "t": (1, 12, 3, 5)}


@pytest.mark.parametrize(
    ("maps", "cls", "strides"), [(OF_ONE, ProposalLayer, "16"), (OF_TWO, PyramidProposalLayer, "8,16")]
)
def test_bottoms_choose_the_layer(graph_from, maps, cls, strides):
    shapes = " ".join(f"shape {{ {' '.join(f'dim: {extent}' for extent in shape)} }}" for shape in maps.values())
    inputs, used = (" ".join(f'{kind}: "{name}"' for name in maps) for kind in ("top", "bottom"))
    graph = graph_from(f"""
        layer {{ name: "d" type: "Input" {inputs} input_param {{ {shapes} }} }}
        layer {{ name: "p" type: "Python" {used} top: "rois" python_param {{
          module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': {strides}" }} }}""")
    layer = graph.nodes[-1].layer
    assert type(layer) is cls
    assert layer.to_caffe()["param_str"] == f"'feat_stride': {strides}"
