"""StageBridgeLayer of MNC, compared with its arithmetic in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Mode
from netc.layers.mnc.stage_bridge import StageBridge
from tests.exporters.test_layers import net
from tests.layers.contract import raises
from tests.layers.detection.frcnn import moved, overlap
from tests.layers.detection.regions import exports_to
from tests.layers.harness import run
from tests.layers.mnc.reference import near, scene, targets

INSIDE, MEANS, STDS = (1.0, 2.0, 3.0, 4.0), (0.1, -0.1, 0.2, 0.0), (0.1, 0.2, 0.3, 0.4)
LAYER = StageBridge(5, INSIDE, MEANS, STDS, bbox_thresh=0.55)
OBJECTS, MASKS, SIZES = scene()
INFO = np.array([[100.0, 130.0, 2.0]])
REGIONS = near(OBJECTS, 30)
RANDOM = np.random.default_rng(6)
CODES, SCORES = RANDOM.normal(scale=0.1, size=(30, 20)), RANDOM.random((30, 5))
TRAINING = (REGIONS, CODES, SCORES, OBJECTS, MASKS, INFO, SIZES)


def placed(best: np.ndarray) -> np.ndarray:
    """The moved boxes before they are clipped."""
    return np.array([moved(box[1:], CODES[i, 4 * c : 4 * c + 4]) for i, (box, c) in enumerate(zip(REGIONS, best))])


def clipped(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes, 0, [129, 99, 129, 99])


def test_regions_in_test():
    best = SCORES.argmax(1)
    assert 0 in best
    (regions,) = run(StageBridge(), REGIONS, CODES, SCORES, INFO)
    np.testing.assert_allclose(regions[:, 1:], clipped(placed(best)), rtol=1e-9)
    assert not regions[:, 0].any()


def in_order():
    """The regions in training, with the objects, and which are of objects; before they are reordered."""
    boxes = np.concatenate([clipped(placed(SCORES[:, 1:].argmax(1) + 1)), OBJECTS[:, :4]])
    most = np.array([max(overlap(box, one[:4]) for one in OBJECTS) for box in boxes])
    return boxes, most >= 0.55


def test_what_a_stage_learns():
    regions, labels, masks, mask_weights, info, codes, inside, outside = run(LAYER, *TRAINING, tops=8, training=True)
    boxes, positive = in_order()
    order = np.argsort(~positive, kind="stable")
    assert 5 < positive.sum() < 28
    np.testing.assert_allclose(regions, np.pad(boxes[order], ((0, 0), (1, 0))), rtol=1e-9, atol=1e-9)
    for i, row in enumerate(order):
        label, code, weights, mask, match = targets(
            boxes[row], OBJECTS, MASKS, SIZES, 2.0, positive[row], 5, INSIDE, MEANS, STDS
        )
        assert labels[i] == label
        np.testing.assert_allclose(codes[i], code.ravel(), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(inside[i], weights.ravel())
        np.testing.assert_array_equal(outside[i], weights.ravel() > 0)
        np.testing.assert_array_equal(masks[i, 0], mask)
        assert (mask_weights[i] == positive[row]).all()
        np.testing.assert_array_equal(info[i], match)


@pytest.mark.parametrize("use_clip", [False, True])
def test_gradient(use_clip):
    given = [torch.tensor(one, requires_grad=True) for one in TRAINING]
    tops = replace(LAYER, use_clip=use_clip, clip_base=0.1).forward(given, (), Mode(True, 8))
    sent = torch.randn(tops[0].shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    tops[0].backward(sent)
    of_regions, of_codes = np.zeros((30, 5)), np.zeros((30, 20))
    best, order = SCORES[:, 1:].argmax(1) + 1, np.argsort(~in_order()[1], kind="stable")
    before, kinds = placed(best), set()
    for (_, dx, dy, dw, dh), i in zip(sent.numpy(), order):
        if i >= 30:
            continue
        at = 4 * best[i]
        x, y, w, h = CODES[i, at : at + 4]
        of_regions[i] = 0, dx, dy, dw * (x + np.exp(w)), dh * (y + np.exp(h))
        used = (before[i] == clipped(before[i : i + 1])[0]).all()
        kinds.add(used)
        if used:
            wide, high = REGIONS[i, 2] - REGIONS[i, 0], REGIONS[i, 3] - REGIONS[i, 1]
            each = np.array([dx * wide, dy * high, dw * np.exp(w) * wide, dh * np.exp(h) * high])
            of_codes[i, at : at + 4] = np.clip(each, -10, 10) if use_clip else each
    assert kinds == {True, False}
    np.testing.assert_allclose(given[0].grad, of_regions, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(given[1].grad, of_codes, rtol=1e-9, atol=1e-12)
    assert all(one.grad is None for one in given[2:])
    assert not any(one.requires_grad for one in tops[1:])


def test_without_objects_all_is_background():
    tops = run(LAYER, *TRAINING[:3], OBJECTS[:0], MASKS[:0], INFO, SIZES[:0], tops=8, training=True)
    assert len(tops[0]) == 30
    assert not any(one.any() for one in (*tops[1:4], *tops[5:]))
    assert (tops[4] == -1).all()


def test_shapes():
    shapes = ((300, 5), (300, 20), (300, 5), (4, 5), (4, 90, 80), (1, 3), (4, 2))
    masks, codes = (304, 1, 21, 21), (304, 20)
    assert LAYER.infer(shapes, 8) == ((304, 5), (304,), masks, masks, (304, 12), codes, codes, codes)
    assert LAYER.infer((*shapes[:3], (UNKNOWN, 5), (UNKNOWN, 90, 80), (1, 3), (UNKNOWN, 2)), 8)[0] == (UNKNOWN, 5)
    test = (*shapes[:3], (1, 3))
    assert LAYER.infer(test, 1) == ((300, 5),)
    with raises("E102", "expected at most 1 top"):
        LAYER.infer(test, 2)
    with raises("E102", "expected 4 bottoms, or 7 in training, got 5"):
        LAYER.infer(shapes[:5], 1)
    with raises("E102", "expected four codes for each of the scores"):
        LAYER.infer((shapes[0], (300, 16), *test[2:]), 1)
    with raises("E102", "expected scores of each region"):
        LAYER.infer((*shapes[:2], (299, 5), shapes[3]), 1)
    with raises("E102", "expected scores of 21 classes"):
        replace(LAYER, num_classes=21).infer(shapes, 8)
    with raises("E103", "`clip_base` must be positive"):
        replace(LAYER, clip_base=0.0).infer(shapes, 8)


def test_param_str_of_the_cascade(graph_from):
    layer = (
        graph_from("""
        layer { name: "d" type: "Input" top: "r" top: "c" top: "s" top: "i" input_param {
          shape { dim: 9 dim: 5 } shape { dim: 9 dim: 84 } shape { dim: 9 dim: 21 } shape { dim: 1 dim: 3 } } }
        layer { name: "b" type: "Python" bottom: "r" bottom: "c" bottom: "s" bottom: "i" top: "rois"
          python_param { module: "pylayer.stage_bridge_layer" layer: "StageBridgeLayer"
            param_str: "{ 'feat_stride': 16,  'use_clip': 1,  'clip_base': 512, 'num_classes': 21}" } }""")
        .nodes[-1]
        .layer
    )
    assert isinstance(layer, StageBridge)
    assert (layer.use_clip, layer.clip_base, layer.num_classes) == (True, 512.0, 21)


@pytest.mark.parametrize("form", ["py", "onnx"])
def test_exports_in_test(tmp_path, form):
    python = 'python_param { module: "pylayer.stage_bridge_layer" layer: "StageBridgeLayer" }'
    given = [one.astype(np.float32) for one in (REGIONS, CODES, SCORES, INFO)]
    definition = net(*(one.shape for one in given), type="Python", text=python)
    exports_to(form, tmp_path, definition, [dict(zip("abcd", given))])
