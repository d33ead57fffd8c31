"""DetectionLoss, DetectionAccuracy and BboxAccuracy of MS-CNN, compared with loops over positions and regions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from netc.layers import LayerUse, choose
from netc.layers.mscnn.detection_accuracy import BboxAccuracy, DetectionAccuracy
from netc.layers.mscnn.detection_loss import DetectionLossOfMscnn
from netc.layers.yolo.detection_loss import DetectionLossOfYolo
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.harness import _fields as fields_of
from tests.layers.harness import layer_of, module_of, run
from tests.layers.mscnn.mscnn import accuracy, labels_of, loss, share

CLASSES = 3
FIELD = {"field_w": 30.0, "field_h": 24.0, "downsample_rate": 8.0}
LOSS = DetectionLossOfMscnn(CLASSES, bg_multiple=2, sample_mode="bootstrap", **FIELD)
SHAPES = ((2, CLASSES + 4, 2, 3), (2, 6, 2, 3)), ((1, CLASSES + 4, 3, 2), (1, 6, 3, 2))
ROWS = ((3, 12), (3, 5), (3, 6)), ((4, 12), (4, 5), (4, 6))
OWN = "that of codes where they are clamped, and none of the second number"
CASES = [
    Case(LOSS, *SHAPES, integers=(1,), source=Source(own_gradient=OWN, is_loss=True)),
    Case(DetectionAccuracy(CLASSES, **FIELD), *SHAPES, tops=2, integers=(1,), source=Source(role="metric")),
    Case(BboxAccuracy(), *ROWS, tops=2, integers=(2,), source=Source(role="metric")),
]
NUMBERS = "cls_num: 3 field_w: 30 field_h: 24 downsample_rate: 8"
REQUIRED = {"DetectionAccuracy": NUMBERS}
_REGRESSION = {"bbox_reg_param": {"bbox_mean": [0.1, 0.2, 0.3, 0.4], "bbox_std": [2.0, 2.0, 3.0, 3.0]}}
WHOLE = {"bbox_reg_param.bbox_mean": _REGRESSION, "bbox_reg_param.bbox_std": _REGRESSION}


def given(seed: int = 1, positive: float = 0.3):
    random = np.random.default_rng(seed)
    return random.normal(size=(2, CLASSES + 4, 5, 6)), labels_of(random, 2, 5, 6, CLASSES, positive)


def measured(layer, x, target):
    """Tops, and the gradient of the loss of the net."""
    tensors = torch.tensor(x, requires_grad=True), torch.tensor(target)
    top = module_of(layer, tuple(t.shape for t in tensors)).double()(*tensors)
    top.sum().backward()
    return top.detach().numpy().ravel(), tensors[0].grad.numpy()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"pos_neg_weighted": True},
        {"pos_neg_weighted": True, "iou_weighted": True, "factor": 0.5},
        {"sample_mode": "all", "bb_smooth": False},
        {"ignore_label": 2, "field_xyr": 4.0, "field_whr": 1.5},
        {"ignore_label": 0},
        {"bbox_mean": (0.1, -0.1, 0.2, 0.0), "bbox_std": (0.1, 0.2, 0.3, 0.2)},
        {"bg_threshold": 0.2, "bg_multiple": 0},
    ],
    ids=range(8),
)
def test_loss_and_gradient(change):
    layer = replace(LOSS, **change)
    x, target = given()
    wanted, slope = loss(layer, x, target)
    found, gradient = measured(layer, x, target)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9, atol=1e-12)


def test_all_objects_are_one_class():
    layer = replace(LOSS, cls_num=2, objectness=True)
    x, target = given()
    x = x[:, 1:]
    np.testing.assert_allclose(measured(layer, x, target)[0], loss(layer, x, target)[0], rtol=1e-10)


def test_without_objects_weights_differ_between_cpu_and_gpu_code():
    layer = replace(LOSS, pos_neg_weighted=True)
    x, target = given(positive=0.0)
    wanted = loss(layer, x, target)[0]
    np.testing.assert_allclose(measured(layer, x, target)[0], wanted, rtol=1e-10)
    from netc.ir.layer import Mode

    tensors = [torch.tensor(x), torch.tensor(target)]
    found = layer.forward(tensors, (), Mode(True, 1, cpu_code=True))
    np.testing.assert_allclose(found.ravel(), loss(layer, x, target, cpu=True)[0], rtol=1e-10)
    assert found[0, 0, 0, 0] != wanted[0]


def test_equal_scores_prefer_the_later_position():
    x, target = np.zeros((1, CLASSES + 4, 3, 4)), np.zeros((1, 6, 3, 4))
    found = measured(LOSS, x, target)[1][0, 0]
    assert (np.flatnonzero(found) == np.arange(8, 12)).all()


@pytest.mark.parametrize("mode", ["random", "mixture"])
def test_background_at_random(mode):
    layer = replace(LOSS, sample_mode=mode, bg_multiple=3)
    x, target = given()
    candidates = (target[:, 0] == 0) & (target[:, 5] < layer.bg_threshold)
    used = np.array([(measured(layer, x, target)[1][:, 0] != 0) & (target[:, 0] == 0) for _ in range(300)])
    assert not used[:, ~candidates].any()
    shares = used.mean(0)[candidates]
    assert (shares > 0.3).all()
    if mode == "random":
        draws = [max(3 * int((image[0] != 0).sum()), 8) for image in target]
        wanted = np.concatenate([[1 - (29 / 30) ** count] * int(c.sum()) for count, c in zip(draws, candidates)])
        np.testing.assert_allclose(shares, wanted, atol=0.13)
    else:
        best = loss(replace(layer, bg_multiple=1), x, target)[1][:, 0] != 0
        assert used[:, best & candidates].mean() > 0.8


@pytest.mark.parametrize("change", [{}, {"top_k": 2}, {"ignore_label": 2, "bg_threshold": 0.2}, {"field_xyr": 1.0}])
def test_accuracy(change):
    layer = replace(DetectionAccuracy(CLASSES, **FIELD), **change)
    x, target = given(2)
    x[:, :CLASSES] = np.round(x[:, :CLASSES])
    for labels in (target, target * 0):
        fractions, overlap = run(layer, x, labels, tops=2)
        wanted = accuracy(layer, x, labels)
        np.testing.assert_allclose(fractions.ravel(), wanted[0])
        np.testing.assert_allclose(overlap.ravel(), wanted[1])
    layer = replace(layer, cls_num=2, objectness=True, top_k=1)
    np.testing.assert_allclose(run(layer, x[:, 1:], target, tops=2)[0].ravel(), accuracy(layer, x[:, 1:], target)[0])


def by_extent(corners):
    return [*corners[:2], *(high - low + 1 for low, high in zip(corners[:2], corners[2:]))]


@pytest.mark.parametrize("std", [(), (0.1, 0.2, 0.3, 0.4)])
def test_overlap_of_moved_regions(std):
    random = np.random.default_rng(3)
    codes = random.normal(size=(9, 12)) * 0.3
    regions = np.column_stack([np.zeros(9), random.uniform(0, 10, (9, 2)), random.uniform(20, 40, (9, 2))])
    objects = np.column_stack([np.arange(9) % 3, regions[:, 1:] + random.uniform(-4, 4, (9, 4)), np.linspace(0, 1, 9)])
    layer = BboxAccuracy((0.1,) * 4 if std else (), std)
    after, before = [], []
    for row, region, (kind, *truth, overlap) in zip(codes, regions, objects):
        if not kind or overlap > 0.975:
            continue
        x, y, w, h = by_extent(region[1:])
        own = row[4 * int(kind) : 4 * int(kind) + 4]
        own = own * std + 0.1 if std else own
        size = w * math.exp(own[2]), h * math.exp(own[3])
        moved = own[0] * w + x + w / 2 - size[0] / 2, own[1] * h + y + h / 2 - size[1] / 2
        after.append(share((*moved, *size), by_extent(truth)))
        before.append(share((x, y, w, h), by_extent(truth)))
    found = run(layer, codes, regions[:, :, None, None], objects, tops=2)
    np.testing.assert_allclose([one.item() for one in found], [np.mean(after), np.mean(before)])
    objects[:, 0] = 0
    assert [one.item() for one in run(layer, codes, regions, objects, tops=2)] == [-1, -1]


def test_files():
    own = {"cls_num": 5, "field_w": 60.0, "field_h": 60.0, "downsample_rate": 8.0}
    moments = {"bbox_mean": (0.0,) * 4, "bbox_std": (0.1,) * 4}
    layer = DetectionLossOfMscnn(factor=0.5, ignore_label=-1, **own, **moments)
    loss_of = {"detection_loss_param": {**own, "lambda": 0.5}, "loss_param": {"ignore_label": -1}}
    message = {**loss_of, "bbox_reg_param": {name: [*values] for name, values in moments.items()}}
    assert DetectionLossOfMscnn.from_caffe(_fields(message)) == layer
    assert DetectionLossOfMscnn.from_caffe(_fields(_lists(layer.to_caffe()))) == layer
    of_accuracy = {"detection_accuracy_param": {**own, "top_k": 2}, "loss_param": {"ignore_label": 1}}
    accuracy = layer_of("DetectionAccuracy", of_accuracy)
    assert accuracy == DetectionAccuracy(top_k=2, ignore_label=1, **own)
    assert layer_of("DetectionAccuracy", _lists(accuracy.to_caffe())) == accuracy
    assert layer_of("BboxAccuracy", {"bbox_reg_param": message["bbox_reg_param"]}) == BboxAccuracy(**moments)


def _lists(written):
    return {name: {k: list(v) if isinstance(v, tuple) else v for k, v in one.items()} for name, one in written.items()}


def _fields(message):
    return fields_of("LayerParameter", message)


def test_meanings():
    def chosen(**own):
        use = LayerUse(_fields({"detection_loss_param": own}), 2, 1)
        return choose("DetectionLoss", use).cls

    assert chosen(cls_num=5) is DetectionLossOfMscnn
    assert chosen(side=7) is DetectionLossOfYolo


@pytest.mark.parametrize(
    ("change", "shapes", "code", "message"),
    [
        ({"cls_num": 0}, SHAPES[0], "E101", "`cls_num` is required"),
        ({"coord_num": 5}, SHAPES[0], "E103", "`coord_num` must be 4"),
        ({"objectness": True}, SHAPES[0], "E103", "`objectness` needs `cls_num` 2"),
        ({"field_w": 0.0}, SHAPES[0], "E103", "`field_w` must be positive"),
        ({"field_whr": 0.5}, SHAPES[0], "E103", "`field_whr` must be at least 1"),
        ({}, ((2, 8, 2, 3), (2, 6, 2, 3)), "E102", "expected a map of 3 scores and 4 codes"),
        ({}, ((2, 7, 2, 3), (2, 5, 2, 3)), "E102", "expected labels of 6 channels"),
        ({}, ((2, 7, 2, 3), (2, 6, 3, 3)), "E102", "expected labels of 6 channels"),
    ],
)
def test_errors(change, shapes, code, message):
    with raises(code, message):
        replace(LOSS, **change).infer(shapes, 1)


def test_more_errors():
    with raises("E103", "`top_k` 4 is not from 1 to 3 classes"):
        DetectionAccuracy(CLASSES, top_k=4, **FIELD).infer(SHAPES[0], 1)
    with raises("E102", "expected 4 codes for each class"):
        BboxAccuracy().infer(((3, 11), *ROWS[0][1:]), 1)
    with raises("E102", "expected objects of 6 numbers"):
        BboxAccuracy().infer((*ROWS[0][:2], (3, 5)), 1)
    with raises("E102", "of the same number, got 3, 3, 4"):
        BboxAccuracy().infer((*ROWS[0][:2], (4, 6)), 1)
    with raises("E103", "expected 4 means and 4 positive deviations"):
        layer_of("BboxAccuracy", {"bbox_reg_param": {"bbox_mean": [0.0], "bbox_std": [1.0]}})
    x, target = given()
    target[0, 0, 0, 0] = CLASSES
    with raises("E301", "class outside 0 to 2: 3"):
        measured(LOSS, x, target)
