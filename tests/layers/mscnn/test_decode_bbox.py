"""DecodeBBox and BoxGroupOutput of Cascade R-CNN, compared with loops over boxes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from netc.layers.mscnn.decode_bbox import BoxGroup, BoxGroupOutput, DecodeBBox
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.detection.frcnn import overlap, suppressed
from tests.layers.harness import layer_of, run

GROUPS = BoxGroup((30, 50), (20, 40), 8), BoxGroup((60,), (60,), 16)
LAYER = BoxGroupOutput(0.3, 0.4, GROUPS, max_nms_num=30, max_post_nms_num=12, min_size=10.0)
FIRST = ((2, 3, 3, 2), (2, 4, 3, 2), (1, 3, 2, 2), (1, 4, 2, 2))
SECOND = ((4, 3, 2, 3), (4, 4, 2, 3), (2, 3, 1, 2), (2, 4, 1, 2))
SOURCE = Source(places_lost=True, extents_of_data=True, own_gradient="none: boxes are constants")
CASES = [
    Case(replace(LAYER, min_size=0.0), FIRST, SECOND, tops=2, source=SOURCE),
    Case(DecodeBBox(), ((9, 8), (9, 5)), ((7, 8), (7, 5)), integers=(1,), source=SOURCE),
]
WHOLE = {
    "BoxGroupOutput box_group_output_param": {
        "box_group_output_param": {"box_group_param": [{"field_w": [30], "field_h": [20], "stride": 8}]}
    }
}


def given(seed: int = 1):
    random = np.random.default_rng(seed)
    maps = []
    for items, size in ((4, (6, 8)), (2, (3, 4))):
        scores = np.exp(random.normal(size=(items, 3, *size)))
        maps += [scores / scores.sum(1, keepdims=True), random.normal(size=(items, 4, *size))]
    return maps


def expected(layer, maps):
    rows = []
    for image in range(2):
        found = []
        for group, probability, codes in zip(layer.groups, maps[::2], maps[1::2]):
            h, w = codes.shape[2:]
            for k, y, x in np.ndindex(len(group.field_w), h, w):
                item = image * len(group.field_w) + k
                own = codes[item, :, y, x]
                own = own * layer.bbox_std + layer.bbox_mean if layer.bbox_std else own
                low, high = [], []
                for axis, (field, at, count) in enumerate(((group.field_w[k], x, w), (group.field_h[k], y, h))):
                    move = min(max(own[axis], -1 / layer.field_xyr), 1 / layer.field_xyr)
                    most = math.log(layer.field_whr)
                    size = field * math.exp(min(max(own[2 + axis], -most), most))
                    start = move * field + (at + 0.5) * group.stride - size / 2
                    low.append(max(start, 0.0))
                    high.append(min(start + size - 1, count * group.stride))
                score = 1 - probability[item, 0, y, x]
                if score >= layer.fg_thr and all(b - a + 1 >= layer.min_size for a, b in zip(low, high)):
                    found.append((score, np.array([*low, *high])))
        found.sort(key=lambda one: -one[0])
        found = found[: layer.max_nms_num or None]
        kept = suppressed([box for _, box in found], layer.iou_thr)[: layer.max_post_nms_num or None]
        rows += [[image, *found[i][1], found[i][0]] for i in kept]
    return np.array(rows)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"max_nms_num": 0, "max_post_nms_num": 0, "min_size": 0.0, "fg_thr": 0.0},
        {"bbox_mean": (0.1, 0.0, -0.1, 0.2), "bbox_std": (0.5, 2.0, 0.3, 0.4), "field_xyr": 4.0, "field_whr": 1.5},
    ],
)
def test_proposals(change):
    layer = replace(LAYER, **change)
    maps = given()
    regions, scored = run(layer, *maps, tops=2)
    wanted = expected(layer, maps)
    assert len(wanted) > 10
    np.testing.assert_allclose(scored[:, :, 0, 0], wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(regions, scored[:, :5])
    boxes = scored[scored[:, 0, 0, 0] == 0][:, 1:5, 0, 0]
    assert all(overlap(a, b) <= layer.iou_thr for i, a in enumerate(boxes) for b in boxes[:i])


def test_nothing_found_is_one_region():
    regions, scored = run(replace(LAYER, fg_thr=2.0), *given(), tops=2)
    assert regions.ravel().tolist() == [0, 1, 1, 10, 10]
    assert scored.ravel().tolist() == [0] * 6


@pytest.mark.parametrize("std", [(), (0.1, 0.2, 0.3, 0.4)])
@pytest.mark.parametrize("training", [False, True])
def test_decoded_boxes(std, training):
    random = np.random.default_rng(2)
    codes = random.normal(size=(9, 8)) * 0.5
    low = random.uniform(0, 50, (9, 2))
    regions = np.column_stack([np.arange(9) % 2, low, low + random.uniform(5, 40, (9, 2))])
    regions[4, 3] = regions[4, 1] - 2
    matched = np.column_stack([np.ones((9, 5)), np.linspace(0.5, 1, 9)])
    layer = DecodeBBox(0.9, (0.1,) * 4 if std else (), std)
    rows = []
    for row, (image, x1, y1, x2, y2), overlap_of in zip(codes, regions, matched[:, 5]):
        own = row[4:] * std + 0.1 if std else row[4:]
        w, h = x2 - x1 + 1, y2 - y1 + 1
        size = w * math.exp(own[2]), h * math.exp(own[3])
        middle = own[0] * w + (x1 + x2) / 2, own[1] * h + (y1 + y2) / 2
        start = middle[0] - (size[0] - 1) / 2, middle[1] - (size[1] - 1) / 2
        end = start[0] + size[0] - 1, start[1] + size[1] - 1
        if not training or (start[0] <= end[0] and start[1] <= end[1] and overlap_of < 0.9):
            rows.append([image, *start, *end])
    bottoms = (codes, regions[:, :, None, None], matched) if training else (codes, regions)
    found = run(layer, *bottoms, training=training)[0]
    assert len(rows) == (6 if training else 9)
    np.testing.assert_allclose(found[:, :, 0, 0], rows, rtol=1e-9, atol=1e-9)


def test_no_region_is_left():
    with raises("E301", "no region is left"):
        run(DecodeBBox(0.5), np.zeros((2, 8)), np.zeros((2, 5)), np.ones((2, 6)), training=True)


def test_files():
    regression = {"bbox_mean": [0.0] * 4, "bbox_std": [0.1] * 4}
    moments = {"bbox_mean": (0.0,) * 4, "bbox_std": (0.1,) * 4}
    group = {"field_w": [30, 50], "field_h": [20, 40], "stride": 8}
    own = {"box_group_param": [group], "min_size": 5.0}
    layer = layer_of("BoxGroupOutput", {"box_group_output_param": own, "bbox_reg_param": regression})
    assert layer == BoxGroupOutput(groups=GROUPS[:1], min_size=5.0, **moments)
    written = layer.to_caffe()
    assert written["box_group_output_param"]["min_size"] == 5.0
    assert written["box_group_output_param"]["box_group_param"] == [
        {"field_w": (30, 50), "field_h": (20, 40), "stride": 8}
    ]
    found = layer_of("DecodeBBox", {"decode_bbox_param": {"gt_iou_thr": 0.5}, "bbox_reg_param": regression})
    assert found == DecodeBBox(0.5, **moments)
    with raises("E106", "`nms_type` `IOMU` is not supported"):
        layer_of("BoxGroupOutput", {"box_group_output_param": {"nms_type": "IOMU"}})


@pytest.mark.parametrize(
    ("change", "shapes", "code", "message"),
    [
        ({"groups": GROUPS[:1]}, FIRST, "E101", "got 4 bottoms"),
        ({"groups": (BoxGroup((30,), (20, 40), 8), GROUPS[1])}, FIRST, "E101", "as many positive widths as heights"),
        ({"field_whr": 0.5}, FIRST, "E103", "is out of range"),
        ({}, (FIRST[0], (2, 4, 3, 3), *FIRST[2:]), "E102", "of one size"),
        ({}, ((3, 3, 3, 2), (3, 4, 3, 2), *FIRST[2:]), "E102", "expected 2 items per image"),
        ({}, (*FIRST[:2], (2, 3, 2, 2), (2, 4, 2, 2)), "E102", "expected 1 items per image"),
    ],
)
def test_errors(change, shapes, code, message):
    with raises(code, message):
        replace(LAYER, **change).infer(shapes, 2)


def test_errors_of_decoding():
    with raises("E102", "expected 8 codes of each region"):
        DecodeBBox().infer(((3, 12), (3, 5)), 1)
    with raises("E102", "the same number of rows"):
        DecodeBBox().infer(((3, 8), (4, 5)), 1)
