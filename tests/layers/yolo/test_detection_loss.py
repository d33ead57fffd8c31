import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.layers.yolo.detection_loss import DetectionLossOfYolo
from tests.layers.case import Case, Source
from tests.layers.contract import raises, values
from tests.layers.harness import module_of, shapes_of
from tests.layers.yolo.darknet import overlap

SMALL = {"side": 3, "num_class": 4, "num_object": 2}
DELTAS = Source(own_gradient="the deltas, of which the loss is the sum of squares")
CASES = [
    Case(DetectionLossOfYolo(**SMALL), ((2, 126), (2, 63)), ((1, 126), (1, 63)), integers=(1,), source=DELTAS),
]  # fmt: skip


def labels_of(items, side):
    """One label per item: a list of (cell, class, box)."""
    labels = np.zeros((len(items), 7 * side * side))
    for row, objects in zip(labels, items):
        for cell, label, box in objects:
            row[side * side + cell], row[2 * side * side + cell] = 1, label
            row[3 * side * side + 4 * cell :][:4] = box
    return labels


def detection_loss(layer, x, labels):
    cells = layer.side**2
    gradient = np.zeros_like(x)
    sums = dict.fromkeys(("class", "box", "object", "none"), 0.0)
    count = 0
    for row, delta, label in zip(x, gradient, labels):
        for j in range(cells):
            column, line = j % layer.side, j // layer.side
            at = [layer.num_class * cells + k * cells + j for k in range(layer.num_object)]
            for place in at:
                sums["none"] += layer.noobject_scale * row[place] ** 2
                delta[place] = layer.noobject_scale * row[place]
            if not label[cells + j]:
                continue
            count += 1
            for c in range(layer.num_class):
                wrong = row[c * cells + j] - (c == label[2 * cells + j])
                sums["class"] += layer.class_scale * wrong**2
                delta[c * cells + j] = layer.class_scale * wrong
            truth = label[3 * cells + 4 * j :][:4].copy()
            first = (layer.num_class + layer.num_object) * cells + j
            places = [[first + (4 * k + o) * cells for o in range(4)] for k in range(layer.num_object)]
            boxes = row[places].copy()
            if layer.constriant:
                boxes[:, :2] = (boxes[:, :2] + [column, line]) / layer.side
            if layer.sqrt:
                boxes[:, 2:] **= 2
            shares = [overlap(box, truth) for box in boxes]
            far = np.sqrt(((boxes - truth) ** 2).sum(1))
            best = int(np.argmax(shares)) if max(shares) > 0 else int(np.argmin(far))
            score = row[at[best]]
            sums["none"] -= layer.noobject_scale * score**2
            sums["object"] += layer.object_scale * (score - 1) ** 2
            delta[at[best]] = layer.object_scale * (score - max(shares))
            if layer.constriant:
                truth[:2] = truth[:2] * layer.side - [column, line]
            if layer.sqrt:
                truth[2:] = np.sqrt(truth[2:])
            apart = row[places[best]] - truth
            sums["box"] += layer.coord_scale * (apart**2).sum()
            delta[places[best]] = layer.coord_scale * apart
    total = (sums["class"] + sums["box"] + sums["object"]) / count
    return total + sums["none"] / (cells * layer.num_object * len(x) - count), gradient / len(x)


@pytest.mark.parametrize(
    "settings", [{}, {"sqrt": False}, {"constriant": True, "object_scale": 2.0, "class_scale": 0.5}], ids=str
)
def test_loops(settings):
    layer = DetectionLossOfYolo(**SMALL, **settings)
    x = np.abs(values(2, 126).numpy()) / 2 + 0.1
    labels = labels_of(
        [[(0, 1, (0.2, 0.1, 0.3, 0.5)), (5, 3, (0.9, 0.5, 0.2, 0.2))], [(8, 0, (0.01, 0.01, 0.02, 0.02))]], 3
    )
    inputs = torch.tensor(x, requires_grad=True)
    loss = module_of(layer, shapes_of((x, labels)))(inputs, torch.tensor(labels))
    loss.backward()
    expected, gradient = detection_loss(layer, x, labels)
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(inputs.grad.numpy(), gradient, rtol=1e-9, atol=1e-12)


def test_a_batch_without_objects_is_finite():
    module = module_of(DetectionLossOfYolo(**SMALL), ((1, 126), (1, 63)))
    assert module(values(1, 126), torch.zeros(1, 63)).isfinite()


def test_a_class_out_of_range():
    labels = torch.tensor(labels_of([[(0, 4, (0.2, 0.1, 0.3, 0.5))]], 3))
    with pytest.raises(NetcError, match="class outside 0 to 3"):
        module_of(DetectionLossOfYolo(**SMALL), ((1, 126), (1, 63)))(values(1, 126), labels)


def test_shapes():
    layer = DetectionLossOfYolo(**SMALL)
    assert layer.infer(((2, 14, 3, 3), (2, 63)), 1) == ((),)
    assert layer.cost(((2, 126), (2, 63)), ((),)).operations == 2520
    for bottoms, text in (
        (((2, 125), (2, 63)), "does not hold 126 numbers"),
        (((2, 126), (2, 62)), "does not hold 63 numbers"),
        (((2, 126), (3, 63)), "labels of 3 items for a batch of 2"),
    ):
        with raises("E102", text):
            layer.infer(bottoms, 1)


def test_file(graph_from):
    inputs = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ dim: 2 dim: {count} }} }} }}\n'
        for name, count in (("x", 126), ("t", 63))
    )
    text = 'layer { name: "l" type: "DetectionLoss" bottom: "x" bottom: "t" top: "l" detection_loss_param { %s } }'
    graph = graph_from(inputs + text % "side: 3 num_class: 4", phase="TRAIN")
    assert graph.nodes[-1].layer == DetectionLossOfYolo(**SMALL)
