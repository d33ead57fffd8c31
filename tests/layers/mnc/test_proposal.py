"""ProposalLayer of MNC, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.mnc.proposal import MncProposalLayer
from tests.exporters.test_layers import net
from tests.layers.contract import raises
from tests.layers.detection.frcnn import anchors, moved, placed, proposals
from tests.layers.detection.regions import exports_to
from tests.layers.detection.test_proposal import bottoms
from tests.layers.harness import run

LAYER = MncProposalLayer(
    8,
    ratios=(0.5, 1.0),
    scales=(1.0, 2.0),
    base_size=8,
    pre_nms_topn=(60, 40),
    post_nms_topn=(20, 7),
    nms_thresh=(0.6, 0.5),
    min_size=(4.0, 3.0),
)


def test_regions_and_the_indices_of_their_anchors():
    scores, codes, info = bottoms(1, 3)
    regions, rows = run(LAYER, scores, codes, info, tops=2, training=True)
    base = anchors(8, LAYER.ratios, LAYER.scales)
    boxes, best = proposals(base, 8, scores[0, 4:], codes[0], (50, 60), (8, 8), 60, 20, 0.6, drop_small=True)
    np.testing.assert_allclose(regions[:, 1:], boxes, rtol=1e-9, atol=1e-9)
    in_order = [scores[0, 4 + a, y, x] for (a, y, x), _ in placed(base, 8, 6, 7)]
    np.testing.assert_array_equal(np.array(in_order)[rows[0].astype(int)], best)
    assert rows.shape == (1, len(boxes))
    assert len(run(LAYER, scores, codes, info)[0]) == 7  # in test


def test_nothing_large_enough_is_no_region():
    scores, codes, _ = bottoms(1, 3)
    regions, rows = run(LAYER, scores, codes, np.array([[50.0, 60.0, 100.0]]), tops=2, training=True)
    assert (regions.shape, rows.shape) == ((0, 5), (1, 0))


def inside(box: np.ndarray) -> bool:
    return min(box[:2]) >= 0 and box[2] <= 59 and box[3] <= 49


@pytest.mark.parametrize("use_clip", [False, True])
def test_gradient_of_codes(use_clip):
    scores, codes, info = (torch.tensor(one, requires_grad=True) for one in bottoms(1, 3))
    layer = replace(LAYER, use_clip=use_clip, clip_base=0.25)
    regions, rows = layer.forward((scores, codes, info), (), Mode(True, 2))
    sent = torch.randn(regions.shape, generator=torch.Generator().manual_seed(2), dtype=regions.dtype)
    regions.backward(sent)
    assert scores.grad is None
    expected = np.zeros((16, 6, 7))
    given, kinds = codes.detach().numpy()[0], set()
    every = list(placed(anchors(8, LAYER.ratios, LAYER.scales), 8, 6, 7))
    for row, (x1, y1, x2, y2) in zip(rows[0].int().tolist(), sent[:, 1:].numpy()):
        (a, y, x), box = every[row]
        code = given[4 * a : 4 * a + 4, y, x]
        used = inside(box) and inside(moved(box, code))
        kinds.add(used)
        if used:
            w, h = box[2] - box[0], box[3] - box[1]
            growth = np.exp(code[2:])
            each = np.array(
                [(x1 + x2) * w, (y1 + y2) * h, (x2 - x1) / 2 * growth[0] * w, (y2 - y1) / 2 * growth[1] * h]
            )
            expected[4 * a : 4 * a + 4, y, x] = np.clip(each, -4, 4) if use_clip else each
    assert kinds == {True, False}
    np.testing.assert_allclose(codes.grad.numpy()[0], expected, rtol=1e-9, atol=1e-12)
    assert (abs(expected) >= 4).any()


NET = """
    layer {{ name: "d" type: "Input" top: "s" top: "c" top: "i" input_param {{
      shape {{ dim: 1 dim: 18 dim: 3 dim: 4 }} shape {{ dim: 1 dim: 36 dim: 3 dim: 4 }} shape {{ dim: 1 dim: 3 }} }} }}
    layer {{ name: "p" type: "Python" bottom: "s" bottom: "c" bottom: "i" top: "rois" {top}
      python_param {{ module: "pylayer.proposal_layer" layer: "ProposalLayer" param_str: "{text}" }} }}"""


def test_settings_of_the_cascade(graph_from):
    text = "{ 'feat_stride': 16, 'use_clip': 1, 'clip_base': 512, 'gradient_scale': 1 }"
    layer = graph_from(NET.format(top='top: "index"', text=text)).nodes[-1].layer
    assert isinstance(layer, MncProposalLayer)
    assert (layer.use_clip, layer.clip_base, layer.post_nms_topn) == (True, 512.0, (300, 300))
    assert graph_from(NET.format(top="", text=text)).nodes[-1].layer.post_nms_topn == (2000, 300)
    text = "'post_nms_topn': [9, 8]"
    assert graph_from(NET.format(top='top: "index"', text=text)).nodes[-1].layer.post_nms_topn == (9, 8)


def test_shapes():
    shapes = ((1, 8, 6, 7), (1, 16, 6, 7), (1, 3))
    assert LAYER.infer(shapes, 2) == ((UNKNOWN, 5), (1, UNKNOWN))
    with raises("E103", "`clip_base` must be positive"):
        replace(LAYER, clip_base=0.0).infer(shapes, 2)
    with raises("E102", "expected a batch of 1 image, got 2"):
        LAYER.infer(((2, 8, 6, 7), (2, 16, 6, 7), (2, 3)), 2)


def test_exports_in_test(tmp_path):
    settings = {
        "ratios": [0.5, 1],
        "scales": [1, 2],
        "base_size": 8,
        "feat_stride": 8,
        "post_nms_topn": 7,
        "min_size": 4,
    }
    python = f'module: "pylayer.proposal_layer" layer: "ProposalLayer" param_str: "{settings}"'
    feeds = []
    for seed in (0, 1):
        scores, codes, info = (one.astype(np.float32) for one in bottoms(1, 3, seed))
        feeds.append({"a": scores, "b": codes, "c": info})
    shapes = ((1, 8, 6, 7), (1, 16, 6, 7), (1, 3))
    definition = net(*shapes, type="Python", text=f"python_param {{ {python} }}")
    exports_to("onnx", tmp_path, definition, feeds)
