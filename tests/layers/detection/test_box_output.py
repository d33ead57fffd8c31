"""BoxOutput of MS-CNN and of its panoramic port, compared with its loop (`box_output_layer.cpp`)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.detection.box_output import BoxOutput
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.harness import layer_of, run

LAYER = BoxOutput(0.3, 0.4, (30.0, 50.0), (20.0, 60.0), (8, 16), 2.0, 2.0, 30, 12, 15.0)
SHAPES = ((1, 7, 3, 2), (1, 7, 2, 2)), ((2, 7, 2, 3), (2, 7, 1, 2))
SOURCE = Source(places_lost=True, extents_of_data=True, own_gradient="none: boxes are constants")
CASES = [Case(replace(LAYER, min_size=0.0), *SHAPES, source=SOURCE)]


def shared(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w < 0 or h < 0:
        return 0.0
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, b)]
    return w * h / (sum(areas) - w * h)


def box(layer: BoxOutput, codes: np.ndarray, j: int, h: int, w: int, extent: tuple[int, int]) -> list[float]:
    """The corners of one position."""
    if layer.bbox_std:
        codes = codes * layer.bbox_std + layer.bbox_mean
    found = []
    for axis, field, at in ((0, layer.field_w[j], w), (1, layer.field_h[j], h)):
        move = min(max(codes[axis], -1 / layer.field_xyr), 1 / layer.field_xyr)
        size = field * math.exp(min(max(codes[2 + axis], -math.log(layer.field_whr)), math.log(layer.field_whr)))
        if layer.num_param_set:
            factor, power = int((size + 6) / 7), 1
            while power < factor:
                power *= 2
            size = 7 * power
        low = move * field + (at + 0.5) * layer.downsample_rate[j] - size / 2
        free = layer.ringpad and axis == 0
        low = low if free else max(low, 0)
        if layer.num_param_set:
            low = math.trunc(math.trunc(low) / 4) * 4
        found.append((low, low + size if free else low + min(size, extent[axis] - low)))
    (left, right), (top, bottom) = found
    return [left, top, right, bottom]


def expected(layer: BoxOutput, maps: list[np.ndarray]) -> list[list[float]]:
    rows = []
    sets = max(1, layer.num_param_set)
    for image in range(len(maps[0])):
        boxes = []
        for j, one in enumerate(maps):
            channels, height, width = one.shape[1:]
            classes, step = channels - 4 * sets, layer.downsample_rate[j]
            for h, w in np.ndindex(height, width):
                value = one[image, :, h, w]
                score = value[1:classes].max() - value[0]
                corners = []
                for k in range(sets):
                    codes = value[classes + 4 * k : classes + 4 * k + 4]
                    corners += box(layer, codes, j, h, w, (width * step, height * step))
                if score >= layer.fg_thr and min(corners[2] - corners[0], corners[3] - corners[1]) >= layer.min_size:
                    boxes.append((score, corners))
        boxes = sorted(boxes, key=lambda one: -one[0])[: layer.max_nms_num or None]
        kept: list = []
        for score, corners in boxes:
            if all(shared(corners, other) <= layer.iou_thr for _, other in kept):
                kept.append((score, corners))
        rows += [[image, *corners, score] for score, corners in kept[: layer.max_post_nms_num or None]]
    return rows


@pytest.mark.parametrize(
    "layer",
    [
        LAYER,
        replace(LAYER, max_nms_num=0, max_post_nms_num=0, min_size=0.0),
        replace(LAYER, bbox_mean=(0.1, 0.0, -0.1, 0.2), bbox_std=(0.5, 2.0, 0.3, 0.4)),
        replace(LAYER, num_param_set=1),
        replace(LAYER, num_param_set=1, ringpad=1, min_size=0.0),
        replace(LAYER, num_param_set=2, ringpad=1),
    ],
    ids=range(6),
)
def test_boxes_and_scores(layer):
    sets, random = max(1, layer.num_param_set), np.random.default_rng(1)
    maps = [random.normal(size=(2, 3 + 4 * sets, *size)) for size in ((6, 8), (3, 4))]
    regions, scored = run(layer, *maps, tops=2)
    wanted = np.array(expected(layer, maps))
    assert len(wanted) > 5
    np.testing.assert_allclose(scored[:, :, 0, 0], wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(regions, scored[:, :-1])


def test_nothing_found_is_one_region():
    regions, scored = run(replace(LAYER, fg_thr=100.0), *(np.zeros(shape) for shape in SHAPES[0]), tops=2)
    assert regions.ravel().tolist() == [0, 1, 1, 10, 10]
    assert scored.ravel().tolist() == [0] * 6


def test_files_and_shapes():
    message = {
        "box_output_param": {"field_w": [30.0], "field_h": [20.0], "downsample_rate": [8], "field_whr": 2.0},
        "bbox_reg_param": {"bbox_mean": [0.0] * 4, "bbox_std": [0.1] * 4},
    }
    layer = layer_of("BoxOutput", message)
    assert layer == BoxOutput(
        field_w=(30.0,), field_h=(20.0,), downsample_rate=(8,), field_whr=2.0, bbox_mean=(0.0,) * 4, bbox_std=(0.1,) * 4
    )
    written = {
        name: {k: [*v] if isinstance(v, tuple) else v for k, v in one.items()} for name, one in layer.to_caffe().items()
    }
    assert layer_of("BoxOutput", written) == layer
    assert LAYER.infer(((2, 7, UNKNOWN, 3), (2, UNKNOWN, 2, 2)), 2) == ((UNKNOWN, 5, 1, 1), (UNKNOWN, 6, 1, 1))
    with raises("E106", "`nms_type` `IOMU` is not supported"):
        layer_of("BoxOutput", {"box_output_param": {"nms_type": "IOMU"}})
    with raises("E101", "`field_w` must have a positive number for each bottom"):
        BoxOutput().infer(((2, 7, 2, 3),), 1)
    with raises("E102", "expected maps of scores and 4 codes"):
        LAYER.infer(((2, 5, 2, 3), (2, 5, 2, 3)), 1)
    with raises("E103", "is out of range"):
        replace(LAYER, field_whr=0.5).infer(SHAPES[0], 1)
