"""The Python layers of DetectNet, compared with their arithmetic in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

import netc
from netc.diagnostics import Source
from netc.ir.dims import UNKNOWN
from netc.layers import LayerUse, choose
from netc.layers.detection.detectnet_boxes import (
    ClusterDetections,
    ClusterGroundtruth,
    MeanAveragePrecision,
    ScoreDetections,
)
from tests.functions.test_group_rectangles import grouped
from tests.layers.contract import raises
from tests.layers.harness import _fields, run

W, H, STRIDE = 160, 96, 16
ROWS, COLUMNS = H // STRIDE, W // STRIDE
DETECTIONS = ClusterDetections(W, H, STRIDE, 0.4, 1, 0.2, 10, 2)
TRUTH = ClusterGroundtruth(W, H, STRIDE, 2)


def maps(seed, classes=2, items=3, rows=ROWS):
    """Coverage, and boxes that belong to a few objects."""
    random = np.random.default_rng(seed)
    coverage = random.random((items, classes, rows, COLUMNS)) ** 2
    objects = np.array([[10.0, 12, 90, 80], [100, 20, 150, 60], [40, 5, 60, 12]])
    chosen = random.integers(3, size=(items, rows, COLUMNS))
    boxes = objects[chosen] + random.normal(scale=1.5, size=(items, rows, COLUMNS, 4))
    boxes -= np.stack(np.broadcast_arrays(*np.ogrid[:rows, :COLUMNS])[::-1] * 2, -1) * STRIDE
    return coverage.astype(np.float32), boxes.transpose(0, 3, 1, 2).astype(np.float32)


def proposed(coverage, boxes, used):
    y, x = np.where(used(coverage[: min(ROWS, COLUMNS)]))
    return [[boxes[i, r, c] + (r if i % 2 else c) * STRIDE for i in range(4)] for r, c in zip(y, x)]


def clustered(layer, coverage, boxes):
    rows = proposed(coverage, boxes, lambda values: values >= np.float32(layer.gridbox_cvg_threshold))
    found = np.zeros((50, 5))
    if not np.any(rows):
        return found
    whole = [[int(v) for v in row] for row in rows]
    groups, weights = grouped(whole, layer.gridbox_rect_thresh, layer.gridbox_rect_eps)
    kept = [(*r, math.log(w)) for r, w in zip(groups, weights) if r[3] - r[1] >= layer.min_height]
    if kept:
        found[: len(kept)] = np.float16(kept)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_detections(seed):
    coverage, boxes = maps(seed)
    for number, top in enumerate(run(DETECTIONS, coverage, boxes, tops=2)):
        wanted = [clustered(DETECTIONS, coverage[i, number], boxes[i]) for i in range(3)]
        assert np.count_nonzero(wanted) > 5
        np.testing.assert_allclose(top, wanted, rtol=1e-3)


def test_no_detections():
    coverage, boxes = maps(0)
    assert not np.any(run(DETECTIONS, coverage * 0, boxes, tops=2))
    assert not np.any(
        run(DETECTIONS, coverage, boxes * 0 - np.indices((ROWS, COLUMNS)).repeat(2, 0)[[2, 0, 3, 1]] * 16, tops=2)
    )


def test_groundtruth():
    coverage, boxes = maps(5)
    coverage = np.where(coverage < 0.5, 0, coverage)
    boxes = boxes.round()
    for number, top in enumerate(run(TRUTH, coverage, boxes, tops=2)):
        for item in range(3):
            rows = proposed(coverage[item, number], boxes[item], lambda values: values > 0)
            wanted = sorted({tuple(map(float, np.float16(row))) for row in rows})
            assert [tuple(row[:4]) for row in top[item, : len(wanted)]] == wanted
            assert not top[item, len(wanted) :].any()
            assert not top[item, :, 4].any()


def test_at_most_50_boxes_of_an_image():
    coverage, boxes = np.ones((1, 1, ROWS, COLUMNS)), np.random.default_rng(1).random((1, 4, ROWS, COLUMNS)) * 99
    (top,) = run(ClusterGroundtruth(W, H, STRIDE), coverage, boxes, tops=1)
    assert top.shape == (1, 50, 5)
    assert top[0, :, 2].all()


def overlap(a, b):
    w, h = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return w * h / union if w * h else 0


def scored(objects, detections):
    objects, detections = ([row for row in rows if row[:4].any()] for rows in (objects, detections))
    taken, missed = [False] * len(detections), []
    for one in objects:
        for j, other in enumerate(detections):
            if overlap(other, one) >= 0.7 and not taken[j]:
                taken[j] = True
                break
        else:
            missed.append(one)
    marked = [(*row[:4], 1) for row, free in zip(detections, taken) if free]
    marked += [(*row[:4], 2) for row, free in zip(detections, taken) if not free]
    marked += [(*row[:4], 3) for row in missed]
    return np.array([*marked, *[(0,) * 5] * 50])[:50]


def lists(seed):
    random = np.random.default_rng(seed)
    objects = np.zeros((2, 50, 5))
    objects[:, :6, :2] = random.integers(0, 80, (2, 6, 2))
    objects[:, :6, 2:4] = objects[:, :6, :2] + 30
    detections = np.zeros((2, 50, 5))
    detections[:, :12, :4] = objects[:, random.integers(6, size=12), :4] + random.integers(-4, 5, (2, 12, 4))
    detections[:, :12, 4] = 1.5
    detections[0, 3] = 0
    return objects, detections


@pytest.mark.parametrize("seed", range(5))
def test_scores(seed):
    objects, detections = lists(seed)
    (top,) = run(ScoreDetections(), objects, detections)
    wanted = [scored(*pair) for pair in zip(objects, detections)]
    np.testing.assert_array_equal(top, wanted)
    tops = run(MeanAveragePrecision(), top, tops=3)
    right, wrong, missed = ((np.array(wanted)[..., 4] == mark).sum() for mark in (1, 2, 3))
    precision, recall = 100 * right / (right + wrong), 100 * right / (right + missed)
    np.testing.assert_allclose(np.ravel(tops), [precision * recall / 100, precision, recall])


def test_nothing_to_score():
    (top,) = run(ScoreDetections(), np.zeros((1, 50, 5)), np.zeros((1, 50, 5)))
    assert not top.any()
    assert np.ravel(run(MeanAveragePrecision(), top, tops=3)).tolist() == [0, 0, 0]


def of_python(name, text, module="clustering"):
    values = {"module": f"caffe.layers.detectnet.{module}", "layer": name, "param_str": text}
    fields = _fields("LayerParameter", {"python_param": values})
    cls = choose("Python", LayerUse(fields, 2, 1)).cls
    return cls.from_caffe(fields)


def test_param_str():
    found = of_python("ClusterDetections", "1248, 768,16,0.6 , 3, 0.02, 22, 1")
    named = {"module_name": "caffe.layers.detectnet.clustering", "class_name": "ClusterDetections"}
    assert found == ClusterDetections(1248, 768, 16, 0.6, 3, 0.02, 22, 1, **named)
    assert found.to_caffe()["param_str"] == "1248, 768,16,0.6 , 3, 0.02, 22, 1"
    made = ClusterDetections(64, 32, 16, 0.5, 3, 0.25, 2).to_caffe()
    assert made["param_str"] == "64, 32, 16, 0.5, 3, 0.25, 2, 1"
    assert made["module"] == "caffe.layers.detectnet.clustering"
    truth = of_python("ClusterGroundtruth", "64,32,16")
    assert (truth.image_size_x, truth.image_size_y, truth.stride, truth.classes) == (64, 32, 16, 1)
    assert type(of_python("mAP", "64,32,16", "mean_ap")) is MeanAveragePrecision
    assert type(of_python("ScoreDetections", "", "mean_ap")) is ScoreDetections
    for text, message in [("1248, 384", "expected 4 numbers"), ("a,2,3", "`image_size_x` in `param_str` is `a`")]:
        with raises("E103", message):
            of_python("ClusterGroundtruth", text)


def test_shapes():
    shapes = (2, 2, 6, 10), (2, 4, 6, 10)
    assert DETECTIONS.infer(shapes, 2) == ((2, 50, 5),) * 2
    assert repr(TRUTH.infer(((UNKNOWN, 2, 6, UNKNOWN), shapes[1]), 2)) == "((?, 50, 5), (?, 50, 5))"
    for bottoms, tops, message in [
        (shapes, 1, "expected 2 tops"),
        (((2, 3, 6, 10), shapes[1]), 2, "expected 2 maps of coverage and 4 of boxes"),
        ((shapes[0], (2, 4, 6, 9)), 2, "do not match"),
        ((shapes[0], (2, 4, 6)), 2, "do not match"),
    ]:
        with raises("E102", message):
            DETECTIONS.infer(bottoms, tops)
    with raises("E103", "the stride must be positive"):
        ClusterGroundtruth(64, 32, 99).infer(shapes, 1)
    with raises("E102", "expected lists of boxes"):
        ScoreDetections().infer(((2, 50, 5), (2, 50, 4)), 1)
    with raises("E102", "of different images"):
        ScoreDetections().infer(((2, 50, 5), (3, 50, 5)), 1)


def test_a_net():
    text = """
    layer { name: "in" type: "Input" top: "c" top: "b" top: "l" input_param { shape { dim: 1 dim: 1 dim: 6 dim: 10 }
            shape { dim: 1 dim: 4 dim: 6 dim: 10 } shape { dim: 1 dim: 50 dim: 5 } } }
    layer { name: "d" type: "Python" bottom: "c" bottom: "b" top: "d" python_param { layer: "ClusterDetections"
            module: "caffe.layers.detectnet.clustering" param_str: "160, 96, 16, 0.4, 1, 0.2, 10, 1" } }
    layer { name: "s" type: "Python" bottom: "l" bottom: "d" top: "s" python_param { layer: "ScoreDetections"
            module: "caffe.layers.detectnet.mean_ap" } }
    layer { name: "m" type: "Python" bottom: "s" top: "mAP" top: "precision" top: "recall" python_param { layer: "mAP"
            module: "caffe.layers.detectnet.mean_ap" param_str: "160, 96, 16" } }
    """
    net = netc.load(Source("net", text))
    coverage, boxes = maps(2, classes=1, items=1)
    (found,) = run(ClusterDetections(W, H, STRIDE, 0.4, 1, 0.2, 10), coverage, boxes, tops=1)
    result = net.run(c=coverage, b=boxes, l=found)
    assert float(result["mAP"][0]) == float(result["recall"][0]) == 100
