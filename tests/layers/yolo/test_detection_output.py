import numpy as np
import pytest

from netc.layers.yolo.detection_output import YoloDetectionOutput, Yolov3Detection, Yolov3DetectionOutput
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, run
from tests.layers.yolo.darknet import Cell, logistic, overlap

ANCHORS = (0.5, 0.7, 1.9, 2.1, 3.0, 1.0)
PIXELS = (10.0, 14.0, 23.0, 27.0, 37.0, 58.0, 30.0, 20.0)
FIRST = YoloDetectionOutput(2, 3, 0.3, 0.4, ANCHORS)
THIRD = Yolov3DetectionOutput(3, 2, 0.4, 0.4, PIXELS, (32, 16), 2, (2, 3, 0, 1))
FOUND = Source(extents_of_data=True, places_lost=True, own_gradient="there is none")
CASES = [
    Case(YoloDetectionOutput(2, 3, 0.0, 0.4, ANCHORS), ((1, 21, 2, 2),), ((2, 21, 3, 2),), source=FOUND),
    Case(
        Yolov3DetectionOutput(3, 2, 0.0, 0.4, PIXELS, (32, 16), 2, (2, 3, 0, 1)),
        ((1, 16, 2, 1), (1, 16, 2, 2)), ((2, 16, 1, 2), (2, 16, 3, 2)), source=FOUND,
    ),
    Case(
        Yolov3Detection(3, 2, 0.0, 0.4, PIXELS, (16,), 1, (2, 3)), ((1, 16, 2, 1),), ((2, 16, 1, 2),), source=FOUND,
    ),
]  # fmt: skip
REQUIRED = {
    "YoloDetectionOutput": "num_classes: 2",
    "Yolov3DetectionOutput": "num_classes: 2",
    "Yolov3Detection": "num_classes: 2",
}


def candidates_of_v2(layer, x):
    anchors = np.array(layer.biases).reshape(-1, 2) / x.shape[3:1:-1]
    parts = x.reshape(len(x), layer.num_box, -1, *x.shape[2:])
    for image, row, column, k in np.ndindex(len(x), *x.shape[2:], layer.num_box):
        v = parts[image, k, :, row, column].copy()
        v[:2] = logistic(v[:2])
        classes = np.exp(v[5:]) / np.exp(v[5:]).sum()
        score = logistic(v[4]) * classes.max()
        if score >= layer.confidence_threshold:
            yield score, int(classes.argmax()), Cell(v, None, anchors[k], column, row, x.shape[3:1:-1]).box(0, 1, 2, 3)


def candidates_of_v3(layer, bottoms):
    for index, x in enumerate(bottoms):
        scale = layer.anchors_scale[index]
        anchors = np.array(layer.biases).reshape(-1, 2) / (x.shape[3] * scale, x.shape[2] * scale)
        parts = x.reshape(len(x), layer.num_box, -1, *x.shape[2:])
        for image, row, column, k in np.ndindex(len(x), *x.shape[2:], layer.num_box):
            v = parts[image, k, :, row, column].copy()
            v[:2] = logistic(v[:2])
            anchor = anchors[layer.mask[index * 2 + k]]
            box = Cell(v, None, anchor, column, row, x.shape[3:1:-1]).box(0, 1, 2, 3)
            for label, score in enumerate(logistic(v[5:]) * logistic(v[4])):
                if score > layer.confidence_threshold:
                    yield score, label, box


def detections(candidates, threshold):
    kept = []
    for score, label, box in sorted(candidates, key=lambda found: -found[0]):
        if all(overlap(box, other) < threshold for _, _, other in kept):
            kept.append((score, label, box))
    rows = [(0, label + 1, s, x - w / 2, y - h / 2, x + w / 2, y + h / 2) for s, label, (x, y, w, h) in kept]
    return np.array(rows).reshape(1, 1, -1, 7)


def test_v2():
    x = values(2, 21, 4, 5).numpy()
    np.testing.assert_allclose(run(FIRST, x)[0], detections(candidates_of_v2(FIRST, x), 0.4), rtol=1e-9)


def test_v3_at_two_scales():
    bottoms = values(2, 16, 2, 3).numpy(), values(2, 16, 4, 6).numpy()
    expected = detections(candidates_of_v3(THIRD, bottoms), 0.4)
    assert expected.shape[2] > 5
    np.testing.assert_allclose(run(THIRD, *bottoms)[0], expected, rtol=1e-9)


def test_overlaps_of_exactly_the_threshold_are_dropped():
    x = np.zeros((1, 21, 1, 1), np.float32)
    x[0, 4::7, 0, 0] = 5, 4, -9
    layer = YoloDetectionOutput(2, 3, 0.1, 0.5, (0.5, 0.5, 0.5, 0.25, 1.0, 1.0))
    assert run(layer, x)[0].shape == (1, 1, 1, 7)


def test_a_row_per_image_if_nothing_is_found():
    x = np.full((2, 21, 3, 2), -9.0)
    expected = [[[[0, *[-1] * 6], [1, *[-1] * 6]]]]
    assert run(FIRST, x)[0].tolist() == expected


def test_scores_that_are_not_numbers_are_dropped():
    x = values(1, 21, 2, 2).numpy()
    x[0, 4] = np.nan
    assert np.isfinite(run(FIRST, x)[0]).all()


def test_files():
    assert round_trip("YoloDetectionOutput", num_classes=3, biases=[1.0, 2.0]).biases == (1.0, 2.0)
    assert round_trip("Yolov3DetectionOutput", num_classes=3, mask=[1, 2]).mask == (1, 2)
    with raises("E101", "`num_classes` is missing"):
        layer_from("YoloDetectionOutput")


@pytest.mark.parametrize(
    ("code", "text", "layer", "bottoms"),
    [
        ("E101", "0 values of `biases` for 3 anchors", YoloDetectionOutput(2, 3), 1),
        ("E102", "21 channels for 3 boxes of 8 numbers each", YoloDetectionOutput(3, 3, biases=ANCHORS), 1),
        ("E101", "expected 2 bottoms, got 1", THIRD, 1),
        ("E101", "1 value of `anchors_scale` for 2 bottoms", Yolov3DetectionOutput(2, anchors_scale=(8,)), 2),
        ("E101", "0 values of `mask` do not suffice", Yolov3DetectionOutput(2, anchors_scale=(8, 4)), 2),
    ],
)
def test_mismatches(code, text, layer, bottoms):
    with raises(code, text):
        layer.infer(((1, 21, 2, 2),) * bottoms, 1)
