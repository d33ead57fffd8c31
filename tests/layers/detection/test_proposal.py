"""Proposal of PVANet and ProposalLayer of py-faster-rcnn, compared with their arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers import LayerUse, choose
from netc.layers.detection._anchors import base_anchors, half_up
from netc.layers.detection.proposal import Proposal, ProposalLayer
from tests.exporters.test_layers import net
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip
from tests.layers.detection.frcnn import anchors, moved, placed, proposals, suppressed
from tests.layers.detection.regions import exports_to
from tests.layers.harness import run

LOST = Source(places_lost=True, extents_of_data=True, rounded=(0, 1))
SHAPES = ((1, 8, 3, 2), (1, 16, 3, 2), (1, 6)), ((2, 8, 2, 3), (2, 16, 2, 3), (2, 4))
CASES = [Case(Proposal(8, 8, 1, (0.5, 2.0), (1.0, 2.0)), *SHAPES, source=LOST)]

PVANET = Proposal(8, 8, 5, (0.5, 1.0), (1.0, 2.0), 40, 7, 0.5)
LAYER = ProposalLayer(
    8,
    ratios=(0.5, 1.0),
    scales=(1.0, 2.0),
    base_size=8,
    pre_nms_topn=(60, 40),
    post_nms_topn=(20, 7),
    nms_thresh=(0.6, 0.5),
    min_size=(7.0, 5.0),
)


def bottoms(images: int, columns: int, seed: int = 0):
    """Distinct scores, codes, and information of images of 50 x 60 pixels, scaled by 2 and 3."""
    random = np.random.default_rng(seed)
    scores = random.permutation(images * 8 * 6 * 7).reshape(images, 8, 6, 7) / 700
    info = np.tile([50.0, 60.0, 2.0, 3.0, 0, 0][:columns], (images, 1))
    return scores, random.normal(scale=0.4, size=(images, 16, 6, 7)), info


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("columns", [3, 4, 6])
def test_proposals_of_pvanet(images, columns):
    scores, codes, info = bottoms(images, columns)
    regions, best = run(PVANET, scores, codes, info, tops=2)
    base = anchors(8, PVANET.ratio, PVANET.scale, lambda x: int(x + 0.5))
    smallest = (10, 15) if columns > 3 else (10, 10)
    expected = [
        proposals(base, 8, scores[i, 4:], codes[i], (50, 60), smallest, 40, 7, 0.5, drop_small=False)
        for i in range(images)
    ]
    np.testing.assert_allclose(regions[:, 1:], np.concatenate([boxes for boxes, _ in expected]), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(regions[:, 0], np.repeat(np.arange(images), [len(boxes) for boxes, _ in expected]))
    np.testing.assert_array_equal(best, np.concatenate([scores for _, scores in expected]))


@pytest.mark.parametrize(("training", "limits"), [(True, (14, 60, 20, 0.6)), (False, (10, 40, 7, 0.5))])
def test_proposals_of_py_faster_rcnn(training, limits):
    scores, codes, info = bottoms(1, 3)
    regions, best = run(LAYER, scores, codes, info, tops=2, training=training)
    smallest, before, after, threshold = limits
    base = anchors(8, LAYER.ratios, LAYER.scales)
    boxes, expected = proposals(
        base, 8, scores[0, 4:], codes[0], (50, 60), (smallest, smallest), before, after, threshold, drop_small=True
    )
    np.testing.assert_allclose(regions[:, 1:], boxes, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(best[:, 0], expected)
    assert not regions[:, 0].any()


def test_anchors_are_those_of_the_paper():
    expected = [[-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199], [-56, -56, 71, 71]]
    np.testing.assert_array_equal(base_anchors(16, (0.5, 1, 2), (8, 16, 32))[:4], expected)
    np.testing.assert_array_equal(base_anchors(16, (0.4, 1.6, 3), (3, 7)), anchors(16, (0.4, 1.6, 3), (3, 7)))
    assert base_anchors(10, (16.0,), (1.0,)) != base_anchors(10, (16.0,), (1.0,), half_up)  # 2.5 becomes 2 or 3


def test_nothing_large_enough_is_no_region():
    scores, codes, _ = bottoms(1, 3)
    regions, best = run(LAYER, scores, codes, np.array([[50.0, 60.0, 100.0]]), tops=2)
    assert regions.shape == (0, 5)
    assert best.shape == (0, 1)


def test_scores_of_nan_are_no_regions_of_py_faster_rcnn():
    scores, codes, info = bottoms(1, 3)
    scores[0, 5] = np.nan
    regions, best = run(LAYER, scores, codes, info, tops=2)
    assert np.isfinite(best).all()
    assert len(regions)


def test_files_and_shapes():
    given = {"ratio": [0.5, 1.0], "scale": [8.0], "pre_nms_topn": 12000, "min_size": 0}
    assert round_trip("Proposal", **given) == Proposal(min_size=0, ratio=(0.5, 1.0), scale=(8.0,), pre_nms_topn=12000)
    assert PVANET.infer(((UNKNOWN, 8, UNKNOWN, 4), (1, 16, 3, 4), (1, UNKNOWN)), 2) == ((UNKNOWN, 5), (UNKNOWN,))
    with raises("E102", "expected scores of 8 channels for 4 anchors"):
        PVANET.infer(((1, 6, 3, 4), (1, 16, 3, 4), (1, 3)), 1)
    with raises("E102", "differ in size"):
        PVANET.infer(((1, 8, 3, 5), (1, 16, 3, 4), (1, 3)), 1)
    with raises("E102", "expected height, width and scale of each image"):
        PVANET.infer(((1, 8, 3, 4), (1, 16, 3, 4), (1, 2)), 1)
    with raises("E103", "`ratio` must be one or more positive numbers"):
        Proposal().infer(((1, 8, 3, 4), (1, 16, 3, 4), (1, 3)), 1)
    with raises("E102", "expected a batch of 1 image, got 2"):
        LAYER.infer(((2, 8, 3, 4), (2, 16, 3, 4), (2, 3)), 1)
    with raises("E103", "`scales` must be one or more positive numbers"):
        ProposalLayer(scales=("x",)).infer(((1, 8, 3, 4), (1, 16, 3, 4), (1, 3)), 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'feat_stride': 16", ProposalLayer()),
        ("{'ratios': [0.5, 1, 3], 'scales': [3, 4, 6.5]}", ProposalLayer(ratios=(0.5, 1, 3), scales=(3, 4, 6.5))),
        ("{'feat_stride': 8, 'num_classes': 21, 'post_nms_topn': [9, 8]}", ProposalLayer(8, post_nms_topn=(9, 8))),
    ],
)
def test_param_str(graph_from, text, expected):
    graph = graph_from(f"""
        layer {{ name: "d" type: "Input" top: "s" top: "c" top: "i" input_param {{
          shape {{ dim: 1 dim: 18 dim: 3 dim: 4 }} shape {{ dim: 1 dim: 36 dim: 3 dim: 4 }}
          shape {{ dim: 1 dim: 3 }} }} }}
        layer {{ name: "p" type: "Python" bottom: "s" bottom: "c" bottom: "i" top: "rois"
          python_param {{ module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "{text}" }} }}""")
    layer = graph.nodes[-1].layer
    assert (layer.module_name, layer.class_name) == ("rpn.proposal_layer", "ProposalLayer")
    assert {**vars(layer), **dict.fromkeys(("module_name", "class_name", "param_str"), "")} == vars(expected)


def test_the_gradient_ends_here():
    scores, codes, info = (torch.tensor(one, requires_grad=True) for one in bottoms(1, 3))
    regions, _ = LAYER.forward((scores, codes, info), (), Mode(True, 2))
    assert not regions.requires_grad


FIELDS = {"box_coordinate_scale": 2.0, "box_size_scale": 4.0, "normalize": True}


@pytest.mark.parametrize(("before", "after"), [(True, True), (False, True), (False, False)])
def test_openvinos_fields(before, after):
    layer = replace(PVANET, **FIELDS, clip_before_nms=before, clip_after_nms=after)
    scores, codes, info = bottoms(1, 4)
    codes *= 3
    found = []
    divisors = np.tile([2.0, 2.0, 4.0, 4.0], 4)[:, None, None]
    for (a, y, x), box in placed(anchors(8, (0.5, 1.0), (1.0, 2.0), lambda x: int(x + 0.5)), 8, 6, 7):
        predicted = moved(box, (codes[0] / divisors)[4 * a : 4 * a + 4, y, x])
        if before:
            predicted = np.maximum(np.minimum(predicted, [59, 49, 59, 49]), 0)
        sides = predicted[2:] - predicted[:2] + 1
        found.append((scores[0, 4 + a, y, x] * (sides[0] >= 15 and sides[1] >= 10), predicted))
    found.sort(key=lambda one: -one[0])
    boxes = [box for _, box in found[:40]]
    kept = np.array([boxes[i] for i in suppressed(boxes, 0.5)[:7]])
    if after:
        kept = np.clip(kept, 0, [60, 50, 60, 50])
    regions, _ = run(layer, scores, codes, info, tops=2)
    np.testing.assert_allclose(regions[:, 1:], kept / [60, 50, 60, 50], rtol=1e-9, atol=1e-9)


def test_openvinos_fields_of_a_file():
    from tests.layers.harness import layer_from

    assert round_trip("Proposal", **FIELDS, clip_before_nms=False) == Proposal(**FIELDS, clip_before_nms=False)
    assert layer_from("Proposal", clip_before_nms=True) == Proposal()
    with raises("E106", "`framework` of OpenVINO's Proposal is not supported"):
        layer_from("Proposal", framework="tensorflow")
    with raises("E103", "`box_size_scale` must be one or more positive numbers"):
        replace(PVANET, box_size_scale=0.0).infer(((1, 8, 3, 4), (1, 16, 3, 4), (1, 3)), 1)


def test_other_python_layers_stay():
    from netc.ir.fields import Fields
    from netc.layers.python import Python

    other = Fields({"python_param": Fields({"module": "rpn.proposal_layer", "layer": "Proposals"})})
    assert choose("Python", LayerUse(other, 3, 1)).cls is Python


SETTINGS = (
    "'feat_stride': 8, 'base_size': 8, 'ratios': [0.5, 1], 'scales': [1, 2], "
    "'pre_nms_topn': 40, 'post_nms_topn': 7, 'nms_thresh': 0.5, 'min_size': 5"
)
PYTHON = f'python_param {{ module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "{SETTINGS}" }}'
MESSAGE = """proposal_param { feat_stride: 8 base_size: 8 min_size: 5 ratio: 0.5 ratio: 1 scale: 1 scale: 2
  pre_nms_topn: 40 post_nms_topn: 7 nms_thresh: 0.5 }"""


@pytest.mark.parametrize(("kind", "text"), [("Python", PYTHON), ("Proposal", MESSAGE)])
def test_exports(tmp_path, kind, text):
    feeds = []
    for seed in (0, 1):
        scores, codes, info = (one.astype(np.float32) for one in bottoms(1, 4, seed))
        feeds.append({"a": scores, "b": codes, "c": info})
    shapes = ((1, 8, 6, 7), (1, 16, 6, 7), (1, 4))
    definition = net(*shapes, type=kind, text=text.replace("\n", " "), tops=["one", "two"])
    exports_to("onnx", tmp_path, definition, feeds)
