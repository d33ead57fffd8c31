import numpy as np
import pytest
import torch

import netc
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


def test_lists_of_older_versions():
    x = values(2, 21, 4, 4).numpy()
    layer = RegionLossOfYolo9000(**SMALL, side=4)
    found = computed(layer, x, LABELS.reshape(2, 30))
    reversed_rows = rows_of(LABELS)[:, :, ::-1].copy()
    expected = computed(layer, x, reversed_rows)
    assert found[0] == pytest.approx(expected[0], rel=1e-10)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-12)


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
        ("E102", r"labels of shape \[1,11\] do not hold 5", {"class_map": ""}, ((1, 21, 13, 13), (1, 11))),
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


TREE = {"a": -1, "b": -1, "c": -1, "a1": 0, "a2": 0, "c1": 2}
PARENTS = list(TREE.values())
NET = """
input: "x" input_shape {{ dim: 3 dim: 22 dim: 4 dim: 4 }}
input: "labels" input_shape {{ dim: 1 dim: 1 dim: {rows} dim: 8 }}
layer {{ name: "loss" type: "RegionLoss" bottom: "x" bottom: "labels" top: "loss"
    region_loss_param {{ side: 4 num_class: 6 num: 2 biases: 0.5 biases: 0.75 biases: 2 biases: 2.25 {settings} }} }}
"""
ONLY_CLASS = 999999.0
ROWS = [
    [0, 3, 0, 0.1, 0.2, 0.4, 0.6, 0],
    [0, 1, 0, 0.5, 0.1, 0.9, 0.35, 0],
    [-1, 0, 0, 0, 0, 0, 0, 0],
    [1, 2, 0, 0.1, 0.1, 0.3, 0.3, 0],
    [1, 5, 0, *[ONLY_CLASS] * 4, 0],
    [1, 4, 0, *[ONLY_CLASS] * 4, 0],
]


def group_of(label):
    return [k for k, parent in enumerate(PARENTS) if parent == PARENTS[label]]


def path_to(label):
    while label >= 0:
        yield label
        label = PARENTS[label]


def tree_deltas(probabilities, label):
    delta = np.zeros(6)
    for one in path_to(label):
        delta[group_of(one)] = probabilities[group_of(one)]
        delta[one] -= 1
    return delta


def tree_loss(x, rows, settings, classes=None):
    """The loss and the gradient with a tree, by loops over images, cells, boxes and truths."""
    object_scale, class_scale = settings["object_scale"], settings["class_scale"]
    parts = x.reshape(3, 2, 11, 4, 4)
    deltas, v = np.zeros_like(parts), parts.copy()
    v[:, :, [0, 1, 4]] = logistic(v[:, :, [0, 1, 4]])
    for group in ([0, 1, 2], [3, 4], [5]):
        e = np.exp(v[:, :, [5 + k for k in group]])
        v[:, :, [5 + k for k in group]] = e / e.sum(2, keepdims=True)
    anchors = np.array([[0.5, 0.75], [2, 2.25]]) / 4
    layer = RegionLossOfYolo9000(6, num=2, biases=tuple(4 * anchors.ravel()), **settings)
    for image in range(3):
        truths = [
            (int(r[1]), ((r[3] + r[5]) / 2, (r[4] + r[6]) / 2, r[5] - r[3], r[6] - r[4])) for r in rows if r[0] == image
        ]
        alone = [label for label, box in truths if box[0] > 100000]
        truths = [] if alone else truths
        for k, row, column in np.ndindex(2, 4, 4):
            cell = Cell(v[image, k, :, row, column], deltas[image, k, :, row, column], anchors[k], column, row, (4, 4))
            if all(overlap(cell.box(0, 1, 2, 3), box) <= layer.thresh for _, box in truths):
                cell.delta[4] = layer.noobject_scale * cell.values[4] ** 2 * (1 - cell.values[4])
        if alone:
            chance = v[image, :, 4] * np.prod([v[image, :, 5 + one] for one in path_to(alone[0])], axis=0)
            k, row, column = np.unravel_index(chance.argmax(), chance.shape)
            best, delta = v[image, k, :, row, column], deltas[image, k, :, row, column]
            delta[5:] = class_scale * tree_deltas(best[5:], alone[0])
            delta[4] = -object_scale * max(0.3 - best[4], 0) * best[4] * (1 - best[4])
        for label, box in truths:
            column, row = int(box[0] * 4), int(box[1] * 4)
            k = int(np.argmax([overlap((0, 0, *size), (0, 0, *box[2:])) for size in anchors]))
            cell = Cell(v[image, k, :, row, column], deltas[image, k, :, row, column], anchors[k], column, row, (4, 4))
            assign(layer, cell, 0, box, old=True)
            cell.delta[5:] = class_scale * tree_deltas(cell.values[5:], label if classes is None else classes[label])
    return (deltas**2).sum(), deltas.reshape(x.shape) / 3


@pytest.mark.parametrize("classes", [None, [5, 4, 3, 0, 2, 1]], ids=["labels", "classes of a map"])
@pytest.mark.parametrize(
    "settings", [{"object_scale": 5.0, "class_scale": 2.0}, {"object_scale": 0.5, "class_scale": 1.0}]
)
@pytest.mark.parametrize("shift", [-3.0, 1.0], ids=["low", "high"])
def test_a_tree_of_classes(tmp_path, classes, settings, shift):
    (tmp_path / "tree").write_text("".join(f"{name} {parent}\n" for name, parent in TREE.items()))
    files = 'softmax_tree: "tree" '
    if classes:
        (tmp_path / "map").write_text("\n".join(map(str, classes)))
        files += 'class_map: "map" '
    (tmp_path / "net.prototxt").write_text(
        NET.format(rows=len(ROWS), settings=files + " ".join(f"{k}: {v}" for k, v in settings.items()))
    )
    net = netc.load(tmp_path / "net.prototxt").double()
    x = values(3, 22, 4, 4).numpy()
    x.reshape(3, 2, 11, 4, 4)[:, :, 4] += shift
    inputs = torch.tensor(x, requires_grad=True)
    loss = net(x=inputs, labels=torch.tensor(ROWS, dtype=torch.float64).reshape(1, 1, -1, 8))["loss"]
    loss.backward()
    wanted, gradient = tree_loss(x, ROWS, settings, classes)
    assert loss.item() == pytest.approx(wanted, rel=1e-10)
    np.testing.assert_allclose(inputs.grad.numpy(), gradient, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("code", "text", "tree", "classes", "label"),
    [
        ("E501", "cannot read `gone`: no such file", "", "gone", 0),
        ("E501", "line 2 of `.*tree` has no integer as its word 2", "a -1\nb\n", "", 0),
        ("E102", "6 classes, but 2 in the file of `softmax_tree`", "a -1\nb 0\n", "", 0),
        ("E301", "parent of a class that is not before it", "a -1\nb 2\nc 1\nd 3\ne -1\nf -1\n", "", 0),
        ("E301", "class of `class_map` outside 0 to 5", "", "0\n6\n", 1),
        ("E301", "class outside 0 to 1", "", "0\n1\n", 3),
    ],
)
def test_files_that_do_not_fit(tmp_path, code, text, tree, classes, label):
    settings = ""
    if tree:
        (tmp_path / "tree").write_text(tree)
        settings += 'softmax_tree: "tree" '
    if classes:
        settings += f'class_map: "{"gone" if classes == "gone" else "map"}" '
        (tmp_path / "map").write_text(classes)
    (tmp_path / "net.prototxt").write_text(NET.format(rows=1, settings=settings))
    row = [0, label + (0 if tree else 1), 0, 0.1, 0.1, 0.3, 0.4, 0]
    with raises(code, text):
        netc.load(tmp_path / "net.prototxt")(
            x=values(3, 22, 4, 4).float(), labels=torch.tensor(row).reshape(1, 1, 1, 8)
        )


def test_settings_with_files():
    layer = RegionLossOfYolo9000(num_class=6, softmax_tree="tree", class_map="map", num=1, biases=(1.0, 2.0))
    assert [constant.file for constant in layer.constants(2)] == ["tree", "map"]
    assert RegionLossOfYolo9000().constants(2) == ()
