import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.layers.yolo.region_loss import RegionLossOfMobileNetYolo, RegionLossOfYolo9000
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import module_of, shapes_of
from tests.layers.yolo.darknet import Cell, logistic, overlap, truths_of

ANCHORS = (0.5, 0.7, 1.9, 2.1, 3.0, 1.0)
SMALL = {"num_class": 2, "num": 3, "biases": ANCHORS}
DELTAS = Source(own_gradient="the deltas, of which the loss is the sum of squares")
CASES = [  # labels of 0 are no truths
    Case(
        RegionLossOfMobileNetYolo(**SMALL), ((1, 21, 2, 2), (1, 1, 2, 5)), ((2, 21, 3, 2), (2, 15)),
        integers=(1,), below=1, source=DELTAS,
    ),
    Case(
        RegionLossOfYolo9000(**SMALL, side=2), ((1, 21, 2, 2), (1, 1, 2, 8)), ((2, 21, 2, 2), (1, 1, 1, 8)),
        integers=(1,), below=1, source=DELTAS,
    ),
]  # fmt: skip
LABELS = np.zeros((2, 1, 6, 5))
LABELS[0, 0, :4] = [
    [1, 0.31, 0.42, 0.3, 0.45],
    [0, 0.72, 0.2, 0.6, 0.4],
    [1, 0.3, 0.45, 0.2, 0.3],
    [0, 0.9, 0.9, 0.5, 0.9],
]
LABELS[1, 0, :1] = [[1, 0.15, 0.6, 0.2, 0.5]]


def rows_of(labels):
    """The truths as SSD's rows, classes from 1, mixed with rows of -1."""
    rows = [[-1.0] * 8]
    for image, listed in enumerate(truths_of(labels)):
        for label, (x, y, w, h) in listed:
            rows.insert(0, [image, label + 1, 0, x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0])
    return np.array(rows).reshape(1, 1, -1, 8)


def region_loss(layer, x, lists):
    """The loss and the gradient, by loops over images, cells, boxes and truths."""
    old = isinstance(layer, RegionLossOfYolo9000)
    n, _, h, w = x.shape
    parts = x.reshape(n, layer.num, -1, h, w)
    deltas = np.zeros_like(parts)
    anchors = np.array(layer.biases).reshape(-1, 2) / (w, h)
    for image, listed in enumerate(lists):
        cells = {}
        for k, row, column in np.ndindex(layer.num, h, w):
            v = parts[image, k, :, row, column].copy()
            v[:2], v[4] = logistic(v[:2]), logistic(v[4])
            e = np.exp(v[5:] - v[5:].max())
            v[5:] = e / e.sum()
            cell = cells[k, row, column] = Cell(v, deltas[image, k, :, row, column], anchors[k], column, row, (w, h))
            if all(overlap(cell.box(0, 1, 2, 3), truth) <= layer.thresh for _, truth in listed):
                cell.delta[4] = layer.noobject_scale * v[4] ** 2 * (1 - v[4])
        for label, truth in listed:
            column, row = int(truth[0] * w), int(truth[1] * h)
            sizes = [
                anchors[k] if layer.bias_match else cells[k, row, column].box(0, 1, 2, 3)[2:] for k in range(layer.num)
            ]
            k = int(np.argmax([overlap((0, 0, *size), (0, 0, *truth[2:])) for size in sizes]))
            cell = cells[k, row, column]
            assign(layer, cell, label, truth, old)
    total = (deltas**2).sum()
    return total if old else total / n, deltas.reshape(x.shape) / n


def assign(layer, cell, label, truth, old):
    v, delta = cell.values, cell.delta
    apart = cell.target(truth) - v[:4]
    scale = layer.coord_scale
    if old:
        apart = np.clip(apart, -1, 1)
    elif not layer.rescore:
        scale *= 2 - truth[2] * truth[3]
    delta[:4] = -scale * apart * np.array([v[0] * (1 - v[0]), v[1] * (1 - v[1]), 1, 1])
    slope = v[4] * (1 - v[4])
    if old:
        delta[4] = -layer.object_scale * 2 * (1 - v[4]) ** 3 * slope
    else:
        goal = overlap(cell.box(0, 1, 2, 3), truth) if layer.rescore else 1
        delta[4] = -layer.object_scale * (goal - v[4]) * slope
    delta[5:] = -layer.class_scale * (np.eye(layer.num_class)[label] - v[5:])


def computed(layer, x, labels):
    module = module_of(layer, shapes_of((x, labels)))
    inputs = torch.tensor(x, requires_grad=True)
    loss = module(inputs, torch.tensor(labels))
    (3 * loss).backward()
    return loss.item(), inputs.grad.numpy() / 3


SETTINGS = [
    {},
    {"rescore": 0, "bias_match": 0, "thresh": 0.05},
    {"object_scale": 3.0, "noobject_scale": 2.0, "class_scale": 0.5, "coord_scale": 1.5, "thresh": 0.6},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("cls", [RegionLossOfMobileNetYolo, RegionLossOfYolo9000])
def test_loops(cls, settings):
    layer = cls(**SMALL, side=4, **settings)
    x = values(2, 21, 4, 4).numpy()
    labels = LABELS if cls is RegionLossOfMobileNetYolo else rows_of(LABELS)
    lists = list(truths_of(LABELS))
    if cls is RegionLossOfYolo9000:
        lists = [listed[::-1] for listed in lists]
    loss, gradient = region_loss(layer, x, lists)
    found, found_gradient = computed(layer, x, labels)
    assert found == pytest.approx(loss, rel=1e-10)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-8, atol=1e-12)


def test_of_two_truths_in_a_box_the_last_counts():
    layer = RegionLossOfMobileNetYolo(**SMALL)
    x, labels = values(1, 21, 2, 2).numpy(), np.zeros((1, 3, 5))
    labels[0, :2] = [[0, 0.3, 0.3, 0.9, 0.9], [1, 0.2, 0.2, 0.92, 0.88]]
    np.testing.assert_allclose(computed(layer, x, labels)[1], region_loss(layer, x, truths_of(labels))[1], atol=1e-12)


def test_rows_of_ssd_are_yolo9000s():
    x, rows = values(2, 21, 4, 4).numpy(), rows_of(LABELS)
    found = computed(RegionLossOfMobileNetYolo(**SMALL, side=4), x, rows)
    expected = computed(RegionLossOfYolo9000(**SMALL, side=4), x, rows)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


def test_a_batch_without_boxes():
    x = values(2, 21, 3, 3).numpy()
    layer = RegionLossOfYolo9000(**SMALL, side=3)
    loss, gradient = computed(layer, x, np.full((1, 1, 1, 8), -1.0))
    score = logistic(x.reshape(2, 3, 7, 3, 3)[:, :, 4])
    assert loss == pytest.approx(((0.5 * score**2 * (1 - score)) ** 2).sum())
    assert not gradient.reshape(2, 3, 7, 3, 3)[:, :, [0, 1, 2, 3, 5, 6]].any()


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        ((2, 0.5, 0.5, 0.1, 0.1), "class outside 0 to 1"),
        ((-1, 0.5, 0.5, 0.1, 0.1), "class outside 0 to 1"),
        ((0, 1.5, 0.5, 0.1, 0.1), "center of a box outside 0 to 0"),
    ],
)
def test_truths_out_of_range(truth, text):
    labels = np.zeros((1, 1, 2, 5))
    labels[0, 0, 0] = truth
    with pytest.raises(NetcError, match=text):
        computed(RegionLossOfMobileNetYolo(**SMALL), values(1, 21, 2, 2).numpy(), labels)


@pytest.mark.parametrize(
    ("code", "text", "change", "bottoms"),
    [
        ("E101", "6 values of `biases` for 4 anchors", {"num": 4}, ((1, 28, 2, 2), (1, 10))),
        ("E102", "20 channels for 3 boxes of 7 numbers each: expected 21", {}, ((1, 20, 2, 2), (1, 10))),
        ("E102", r"labels of shape \[2,10\] for a batch of 1", {}, ((1, 21, 2, 2), (2, 10))),
        ("E102", r"labels of shape \[1,11\] do not hold 5 numbers", {}, ((1, 21, 2, 2), (1, 11))),
        ("E102", "for `side` 13", {}, ((1, 21, 2, 2), (1, 1, 3, 8))),
        ("E102", r"expected SSD's rows \[1,1,\?,8\]", {"class_map": ""}, ((1, 21, 13, 13), (1, 10))),
        ("E106", "`softmax_tree` is not supported", {"softmax_tree": "a"}, ((1, 21, 2, 2), (1, 1, 3, 8))),
    ],
)
def test_mismatches(code, text, change, bottoms):
    cls = RegionLossOfYolo9000 if change.keys() & {"class_map", "softmax_tree"} else RegionLossOfMobileNetYolo
    with raises(code, text):
        cls(**{**SMALL, **change}).infer(bottoms, 1)


def test_file_and_unknown_extents():
    layer = round_trip("RegionLoss", num_class=3, biases=[1.0, 2.0], num=1, thresh=0.5)
    assert layer == RegionLossOfMobileNetYolo(3, num=1, biases=(1.0, 2.0), thresh=0.5)
    assert layer.infer(((UNKNOWN, 8, UNKNOWN, 4), (UNKNOWN, 1, UNKNOWN, 5)), 1) == ((),)
    assert layer.cost(((2, 8, 3, 3), (2, 5)), ((),)).operations == 20 * 144
