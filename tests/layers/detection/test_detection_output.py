"""DetectionOutput, compared with a transcription of SSD's loops over boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers import LayerUse, choose
from netc.layers.detection.detection_output import DetectionOutput, RefineDetDetectionOutput
from tests.layers.case import Case
from tests.layers.case import Source as Facts
from tests.layers.contract import raises, round_trip
from tests.layers.harness import _fields, layer_from, layer_of, module_of, run

CODES, SCORES, PRIORS = (2, 24), (2, 18), (1, 2, 24)
SECOND = (3, 16), (3, 12), (1, 2, 16)
ROWS = Facts(role="score", extents_of_data=True)
CASES = [
    Case(DetectionOutput(3), (CODES, SCORES, PRIORS), SECOND, source=ROWS),
    Case(
        RefineDetDetectionOutput(3),
        (CODES, SCORES, PRIORS, (2, 12), CODES),
        (*SECOND, (3, 8), (3, 16)),
        source=ROWS,
    ),
]
REQUIRED = {"DetectionOutput": "num_classes: 3"}
FILES = {
    **dict.fromkeys(("output_directory", "output_name_prefix", "label_map_file", "name_size_file"), "a"),
    "output_format": "VOC",
    "num_test_image": 2,
    "resize_param": {"height": 30, "width": 40},
}
SUPPRESSION = {"nms_threshold": 0.45, "top_k": 9, "eta": 0.5}
WHOLE = {
    f"detection_output_param.{field}.{name}": {"detection_output_param": {"num_classes": 3, field: message}}
    for field, message in {"nms_param": SUPPRESSION, "save_output_param": FILES}.items()
    for name in message
}


def inputs(images=2, boxes=30, classes=4, shared=True, seed=0):
    random = np.random.default_rng(seed)
    corner, size = random.random((boxes, 2)), random.random((boxes, 2)) * 0.4 + 0.05
    priors = np.concatenate((corner - size / 2, corner + size / 2), 1)
    variances = np.tile([0.1, 0.1, 0.2, 0.2], (boxes, 1))
    codes = random.normal(size=(images, boxes * (1 if shared else classes) * 4)) * 0.5
    scores = random.random((images, boxes * classes)).round(2)
    return codes, scores, np.stack((priors.ravel(), variances.ravel()))[None]


def decoded(code, prior, variance, kind):
    code = [c * v for c, v in zip(code, variance)]
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    if kind == "CORNER":
        return [p + c for p, c in zip(prior, code)]
    if kind == "CORNER_SIZE":
        return [p + c * s for p, c, s in zip(prior, code, (width, height) * 2)]
    x, y = (prior[0] + prior[2]) / 2 + code[0] * width, (prior[1] + prior[3]) / 2 + code[1] * height
    w, h = math.exp(code[2]) * width / 2, math.exp(code[3]) * height / 2
    return [x - w, y - h, x + w, y + h]


def limited(boxes, clip):
    return np.clip(boxes, 0, 1).tolist() if clip else boxes


def overlap(p, q):
    w, h = min(p[2], q[2]) - max(p[0], q[0]), min(p[3], q[3]) - max(p[1], q[1])
    if w <= 0 or h <= 0:
        return 0.0
    own = [max(b[2] - b[0], 0) * max(b[3] - b[1], 0) for b in (p, q)]
    return w * h / (own[0] + own[1] - w * h)


def expected(layer, codes, scores, priors):
    images, boxes = len(codes), priors.shape[2] // 4
    codes = codes.reshape(images, boxes, -1, 4)
    scores = scores.reshape(images, boxes, layer.num_classes)
    prior, variance = priors[0].reshape(2, boxes, 4)
    if layer.variance_encoded_in_target:
        variance = np.ones_like(variance)
    rows = []
    for i in range(images):
        found = []
        for c in range(layer.num_classes):
            if c == layer.background_label_id:
                continue
            column = 0 if layer.share_location else c
            box = [decoded(codes[i, p, column], prior[p], variance[p], layer.code_type) for p in range(boxes)]
            box = limited(box, layer.clip_before_nms)
            least = -math.inf if layer.confidence_threshold is None else layer.confidence_threshold
            order = [p for p in range(boxes) if scores[i, p, c] > least]
            order.sort(key=lambda p: -scores[i, p, c])
            kept, threshold = [], layer.nms_threshold
            for p in order[: None if layer.top_k is None or layer.top_k < 0 else layer.top_k]:
                if all(overlap(box[p], box[k]) <= threshold for k in kept):
                    kept.append(p)
                    if layer.eta < 1 and threshold > 0.5:
                        threshold *= layer.eta
            found += [(scores[i, p, c], c, box[p]) for p in kept]
        if -1 < layer.keep_top_k < len(found):
            found = sorted(found, key=lambda row: -row[0])[: layer.keep_top_k]
            found.sort(key=lambda row: row[1])
        rows += [[i, c, score, *limited(box, layer.clip_after_nms)] for score, c, box in found]
    return np.array(rows or [[i, *[-1] * 6] for i in range(images)])


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"code_type": "CENTER_SIZE", "nms_threshold": 0.45, "confidence_threshold": 0.3},
        {"code_type": "CORNER_SIZE", "top_k": 7, "keep_top_k": 16},
        {"share_location": False, "background_label_id": -1},
        {"share_location": False, "background_label_id": 2, "code_type": "CENTER_SIZE"},
        {"code_type": "CENTER_SIZE", "nms_threshold": 0.8, "eta": 0.9, "top_k": -1},
        {"variance_encoded_in_target": True, "keep_top_k": 0},
        {"top_k": 0},
        {"confidence_threshold": 1.0},
        {"code_type": "CENTER_SIZE", "clip_before_nms": True, "nms_threshold": 0.2},
        {"code_type": "CENTER_SIZE", "clip_after_nms": True, "share_location": False, "background_label_id": -1},
    ],
)
def test_rows_are_those_of_the_loops(parameters):
    layer = DetectionOutput(4, **parameters)
    given = inputs(shared=layer.share_location)
    given[1][:] += np.arange(given[1].size).reshape(given[1].shape) * 1e-6  # no equal scores
    (found,) = run(layer, *given)
    np.testing.assert_allclose(found[0, 0], expected(layer, *given), rtol=1e-6, atol=1e-9)


def test_equal_scores_are_in_the_order_of_the_priors():
    codes, scores, priors = inputs(1, 40, 2)
    scores[:] = 0.5
    (found,) = run(DetectionOutput(2, nms_threshold=1.0), codes, scores, priors)
    np.testing.assert_allclose(found[0, 0], expected(DetectionOutput(2, nms_threshold=1.0), codes, scores, priors))


def test_nothing_is_found():
    codes, scores, priors = inputs(3)
    scores[:] = np.nan
    (found,) = run(DetectionOutput(4), codes, scores, priors)
    assert found.tolist() == [[[[i, *[-1] * 6] for i in range(3)]]]
    (found,) = run(DetectionOutput(4), codes[:, :0], scores[:, :0], priors[:, :, :0])
    assert found.shape == (1, 1, 3, 7)


def test_of_two_stages():
    codes, scores, priors = inputs()
    first, objectness = inputs(seed=1)[0], inputs(classes=2, seed=2)[1]
    layer = RefineDetDetectionOutput(4, objectness_score=0.4, confidence_threshold=0.1, nms_threshold=0.5)
    (found,) = run(layer, codes, scores, priors, objectness, first)
    kept = objectness.reshape(2, 30, 2)[:, :, 1:] >= 0.4
    moved, rows = priors.copy(), []
    for i in range(2):
        boxes, variances = priors[0].reshape(2, 30, 4)
        moved[0, 0] = np.ravel(
            [decoded(c, b, v, "CORNER") for c, b, v in zip(first[i].reshape(30, 4), boxes, variances)]
        )
        own = np.where(kept[i], scores[i].reshape(30, 4), 0).reshape(1, -1)
        rows.append(expected(layer, codes[i : i + 1], own, moved))
        rows[-1][:, 0] = i
    np.testing.assert_allclose(found[0, 0], np.concatenate(rows), rtol=1e-6)


def test_bad_input():
    codes, scores, priors = inputs()
    priors[0, 0, 2] = priors[0, 0, 0]
    with raises("E301", "width or height of a prior box"):
        run(DetectionOutput(4, code_type="CENTER_SIZE"), codes, scores, priors)
    run(DetectionOutput(4), codes, scores, priors)


def test_shapes():
    layer = DetectionOutput(3)
    assert repr(layer.infer(((UNKNOWN, 24), (2, UNKNOWN), (1, 2, 24)), 1)) == "((1, 1, ?, 7),)"
    for text, shapes in {
        "expected 24 for 6 prior boxes": ((2, 20), (2, 18), (1, 2, 24)),
        "17 scores per image, expected 18": ((2, 24), (2, 17), (1, 2, 24)),
        "codes of 2 images, but scores of 3": ((2, 24), (3, 18), (1, 2, 24)),
        "must have shape": ((2, 24), (2, 18), (1, 3, 24)),
        "must have 3 axes": ((2, 24), (2, 18), (2, 24)),
    }.items():
        with raises("E102", text):
            layer.infer(shapes, 1)


def test_file():
    nms = {"nms_threshold": 0.5, "top_k": 400, "eta": 0.75}
    saved = {"output_directory": "out", "output_name_prefix": "comp4_", "output_format": "VOC", "num_test_image": 3}
    files = {"label_map_file": "map.prototxt", "name_size_file": "sizes.txt"}
    resize = {"resize_param": {"resize_mode": "WARP", "height": 300, "width": 300}}
    parameters = {"num_classes": 21, "code_type": "CENTER_SIZE", "confidence_threshold": 0.01, "nms_param": nms}
    round_trip("DetectionOutput", **parameters, save_output_param={**saved, **files, **resize})
    assert layer_from("DetectionOutput", num_classes=2, save_output_param=saved).saved is None
    assert layer_from("DetectionOutput", num_classes=2).top_k is None


@pytest.mark.parametrize(
    ("code", "text", "parameters"),
    [
        ("E101", "`num_classes` is missing", {}),
        ("E103", "`num_classes` is 0", {"num_classes": 0}),
        ("E101", "requires `share_location: false`", {"num_classes": 3, "background_label_id": -1}),
        ("E103", "`nms_threshold` is -1", {"num_classes": 3, "nms_param": {"nms_threshold": -1.0}}),
        ("E103", "`eta` is 0", {"num_classes": 3, "nms_param": {"eta": 0.0}}),
        ("E101", "`normalized`", {"num_classes": 3, "normalized": False}),
        ("E101", "`soft_nms`", {"num_classes": 3, "nms_param": {"soft_nms": 0.5}}),
    ],
)
def test_errors(code, text, parameters):
    with raises(code, text):
        layer_of("DetectionOutput", {"detection_output_param": parameters})


def test_half_precision_scores():
    given = [torch.tensor(part).half() for part in inputs()]
    module = module_of(DetectionOutput(4, confidence_threshold=0.5), tuple(tuple(g.shape) for g in given))
    assert module(*given).dtype == torch.half


@pytest.mark.parametrize(
    ("bottoms", "message", "cls"),
    [
        (3, {}, DetectionOutput),
        (4, {}, DetectionOutput),
        (4, {"visualize": True}, DetectionOutput),
        (4, {"objectness_score": 0.5}, RefineDetDetectionOutput),
        (5, {}, RefineDetDetectionOutput),
    ],
)
def test_which_fork_a_layer_is_of(bottoms, message, cls):
    fields = _fields("LayerParameter", {"detection_output_param": {"num_classes": 3, **message}})
    assert choose("DetectionOutput", LayerUse(fields, bottoms=bottoms, tops=1)).cls is cls
