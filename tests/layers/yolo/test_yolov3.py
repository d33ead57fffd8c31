import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.yolo.yolov3 import GaussianYolov3, Yolov3
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of, shapes_of
from tests.layers.yolo.darknet import Cell, general_overlap, logistic, overlap, side_slopes, truths_of

BIASES = (10.0, 14.0, 23.0, 27.0, 37.0, 58.0, 30.0, 20.0)
SMALL = {"num_class": 3, "num": 2, "biases": BIASES, "mask": (1, 3), "anchors_scale": 16, "coord_scale": 1.5}
DELTAS = Source(own_gradient="the deltas, of which the loss is the sum of squares")
CASES = [  # labels of 0 are no truths
    Case(
        Yolov3(**SMALL), ((1, 16, 2, 2), (1, 10)), ((2, 16, 3, 2), (2, 1, 1, 5)),
        integers=(1,), below=1, source=DELTAS,
    ),
    Case(
        GaussianYolov3(**SMALL), ((1, 24, 2, 2), (1, 10)), ((2, 24, 3, 2), (2, 1, 1, 5)),
        integers=(1,), below=1, source=DELTAS,
    ),
]  # fmt: skip
LABELS = np.zeros((2, 1, 7, 5))
LABELS[0, 0, :5] = [
    [1, 0.31, 0.42, 0.3, 0.35],
    [0, 0.72, 0.2, 0.35, 0.3],
    [2, 0.74, 0.22, 0.33, 0.28],  # in the box of the one before
    [0, 0.9, 0.9, 0.5, 0.9],
    [1, 0.1, 0.9, 0.3, 0.2],
]
LABELS[1, 0, :1] = [[1, 0.15, 0.6, 0.25, 0.4]]


def yolo_loss(layer, x, labels):
    """The loss and the gradient, by loops over images, cells, boxes and truths."""
    gaussian = isinstance(layer, GaussianYolov3)
    n, _, h, w = x.shape
    parts = x.reshape(n, layer.num, -1, h, w)
    active, deltas = logistic(parts), np.zeros_like(parts)
    sizes, at = ((4, 6), 8) if gaussian else ((2, 3), 4)
    channels = (0, 2, 4, 6) if gaussian else (0, 1, 2, 3)
    active[:, :, sizes] = parts[:, :, sizes]
    anchors = np.array(layer.biases).reshape(-1, 2) / (w * layer.anchors_scale, h * layer.anchors_scale)
    missing = []
    for image, listed in enumerate(truths_of(labels)):
        cells = {}
        for k, row, column in np.ndindex(layer.num, h, w):
            v, delta = active[image, k, :, row, column], deltas[image, k, :, row, column]
            cell = cells[k, row, column] = Cell(v, delta, anchors[layer.mask[k]], column, row, (w, h))
            if all(overlap(cell.box(*channels), truth) <= layer.thresh for _, truth in listed):
                delta[at] = v[at]
        for label, truth in listed:
            shares = [overlap((0, 0, *anchor), (0, 0, *truth[2:])) for anchor in anchors]
            best = int(np.argmax(shares))
            for k, anchor in enumerate(layer.mask):
                if anchor == best or (layer.iou_thresh < 1 and shares[anchor] > layer.iou_thresh):
                    cell = cells[k, int(truth[1] * h), int(truth[0] * w)]
                    missing.append(1 - assign(layer, cell, label, truth, channels, at))
    rest = (deltas[:, :, at:] ** 2).sum() if layer.iou_loss != "MSE" else (deltas**2).sum()
    mean = np.mean(missing) if missing and (gaussian or layer.iou_loss != "MSE") else 0
    gradient = deltas.copy()
    if layer.use_logic_gradient:
        slope = active * (1 - active)
        slope[:, :, sizes] = 1
        gradient *= slope
    return (rest + layer.iou_normalizer * mean) / n, gradient.reshape(x.shape) / n


def assign(layer, cell, label, truth, channels, at):
    v, delta = cell.values, cell.delta
    box, scale = cell.box(*channels), layer.coord_scale * (2 - truth[2] * truth[3])
    if at == 8:
        for i, goal in enumerate(cell.target(truth)):
            mean, sigma = v[2 * i], v[2 * i + 1]
            far = (goal - mean) / sigma
            density = np.exp(-(far**2) / 2) / (np.sqrt(2 * np.pi) * (sigma + 0.3))
            weight = density / (density + 1e-9) / 2 * scale
            delta[2 * i] = -weight * far / sigma
            delta[2 * i + 1] = -weight * (far**2 / sigma - 1 / (sigma + 0.3))
    elif layer.iou_loss == "MSE":
        delta[:4] = -scale * (cell.target(truth) - v[:4])
    else:
        top, bottom, left, right = side_slopes(box, truth, layer.iou_loss == "GIOU")
        slopes = left + right, top + bottom, (right - left) / 2 * np.exp(v[2]), (bottom - top) / 2 * np.exp(v[3])
        delta[:4] = -layer.iou_normalizer * np.array(slopes)
    delta[at] = -(1 - v[at]) * (layer.object_scale if layer.use_logic_gradient else 1)
    assign_class(layer, v[at + 1 :], delta[at + 1 :], label, at == 4)
    return general_overlap(box, truth) if layer.iou_loss == "GIOU" else overlap(box, truth)


def assign_class(layer, scores, delta, label, smooth):
    eps = layer.label_smooth_eps if smooth else 0
    if delta[0]:
        delta[label] = -(layer.class_scale if smooth else 1) * (1 - eps / 2 - scores[label])
    elif layer.use_focal_loss:
        right = scores[label] + 1e-15
        focus = -(1 - right) * (2 * right * np.log(right) + right - 1)
        delta[:] = -layer.class_scale * (np.eye(len(scores))[label] - scores) * focus / 2
    else:
        delta[:] = -layer.class_scale * (np.eye(len(scores))[label] * (1 - eps) + eps / 2 - scores)


def computed(layer, x, labels):
    module = module_of(layer, shapes_of((x, labels)))
    inputs = torch.tensor(x, requires_grad=True)
    loss = module(inputs, torch.tensor(labels))
    (3 * loss).backward()
    return loss.item(), inputs.grad.numpy() / 3


SETTINGS = [
    {},
    {"use_logic_gradient": True, "object_scale": 5.0, "class_scale": 0.5, "thresh": 0.6},
    {"use_focal_loss": True, "thresh": 0.1},
    {"iou_thresh": 0.3, "label_smooth_eps": 0.0},
    {"iou_loss": "IOU"},
    {"iou_loss": "GIOU", "iou_normalizer": 0.5},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("cls", [Yolov3, GaussianYolov3])
def test_loops(cls, settings):
    if cls is GaussianYolov3 and settings.get("iou_loss"):
        settings = {**settings, "iou_loss": "MSE"}
    layer = cls(**{**SMALL, **settings})
    x = values(2, 16 if cls is Yolov3 else 24, 4, 5).numpy()
    loss, gradient = yolo_loss(layer, x, LABELS)
    found, found_gradient = computed(layer, x, LABELS)
    assert found == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("kind", ["IOU", "GIOU"])
def test_boxes_apart_and_inside(kind):
    """Slopes of boxes that do not touch their truth, that lie in it, or around it."""
    layer = Yolov3(**{**SMALL, "iou_loss": kind})
    for scale in (-3.0, 1.0, 3.0):
        x = scale * np.abs(values(1, 16, 4, 4).numpy())
        labels = LABELS[:1]
        np.testing.assert_allclose(computed(layer, x, labels)[1], yolo_loss(layer, x, labels)[1], rtol=1e-7, atol=1e-11)


def test_an_image_without_truths():
    x = values(1, 16, 2, 3).numpy()
    loss, gradient = computed(Yolov3(**SMALL), x, np.zeros((1, 1, 300, 5)))
    score = logistic(x.reshape(2, 8, 2, 3)[:, 4])
    assert loss == pytest.approx((score**2).sum())
    np.testing.assert_allclose(gradient.reshape(2, 8, 2, 3)[:, 4], score)


@pytest.mark.parametrize(
    ("code", "text", "change", "bottoms"),
    [
        ("E101", "`mask` names 1 of the 2 anchors", {"mask": (1,)}, ((1, 16, 2, 2), (1, 10))),
        ("E101", "8 values of `biases` for 6 anchors", {"mask": (1, 5)}, ((1, 16, 2, 2), (1, 10))),
        ("E102", "24 channels for 2 boxes of 8 numbers each: expected 16", {}, ((1, 24, 2, 2), (1, 10))),
        ("E102", r"expected a prediction with 4 axes, got \[1,16\]", {}, ((1, 16), (1, 10))),
    ],
)
def test_mismatches(code, text, change, bottoms):
    with raises(code, text):
        Yolov3(**{**SMALL, **change}).infer(bottoms, 1)


def test_file():
    assert round_trip("Yolov3") == Yolov3()
    assert round_trip("Yolov3", iou_loss="GIOU", mask=[1, 2], iou_normalizer=0.5).iou_loss == "GIOU"
    assert round_trip("GaussianYolov3", num_class=3) == GaussianYolov3(3)
    assert Yolov3(**SMALL).infer(((UNKNOWN, 16, UNKNOWN, 2), (UNKNOWN, 10)), 1) == ((),)
    with raises("E106", "`scale_x_y` is not supported"):
        round_trip("Yolov3", scale_x_y=1.05)
