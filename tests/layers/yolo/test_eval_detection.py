import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.yolo.eval_detection import EvalDetection, _is_first
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import run
from tests.layers.yolo.darknet import Cell, logistic, overlap

ANCHORS = (0.5, 0.7, 1.9, 2.1, 3.0, 1.0)
SMALL = {"side": 4, "num_class": 2, "num_object": 3, "biases": ANCHORS}
CASES = [
    Case(
        EvalDetection(**{**SMALL, "side": 2}, nms=0.4), ((1, 21, 2, 2), (1, 1, 1, 8)), ((2, 21, 2, 2), (1, 1, 2, 8)),
        integers=(1,), below=1, source=Source(places_lost=True),
    ),
]  # fmt: skip


def evaluated(layer, x, rows):
    """The top, by loops over images, boxes and truths."""
    n, _, h, w = x.shape
    anchors = np.array(layer.biases).reshape(-1, 2) / (w, h)
    tops = np.zeros((n, layer.num_class + 4 * h * w * layer.num_object))
    for image, top in enumerate(tops):
        truths = [
            (int(r[1]) - 1, ((r[3] + r[5]) / 2, (r[4] + r[6]) / 2, r[5] - r[3], r[6] - r[4]))
            for r in rows
            if r[0] == image
        ]
        for label, _ in truths:
            top[label] += 1
        found = []
        parts = x[image].reshape(layer.num_object, -1, h, w)
        for row, column, k in np.ndindex(h, w, layer.num_object):
            v = parts[k, :, row, column].copy()
            v[:2], score = logistic(v[:2]), logistic(v[4])
            classes = np.exp(v[5:]) / np.exp(v[5:]).sum()
            box = Cell(v, None, anchors[k], column, row, (w, h)).box(0, 1, 2, 3)
            for label, share in enumerate(classes):
                if score >= 0.005 and score * share > 0.005:
                    kind = {"OBJ": score, "PROB": share, "MULTIPLY": score * share}[layer.score_type]
                    found.append((kind, label, box))
        kept = []
        for score, label, box in sorted(found, key=lambda one: -one[0]):
            if all(label != other or overlap(box, b) < layer.nms for _, other, b in kept):
                kept.append((score, label, box))
        lines, used = [], set()
        for score, label, box in sorted(kept, key=lambda one: one[1]):
            shares = {t: overlap(box, truth) for t, (other, truth) in enumerate(truths) if other == label}
            if not shares:
                lines.append((label, score, 0, 1))
                continue
            best = max(shares, key=shares.get)
            near = shares[best] >= layer.threshold
            lines.append((label, score, near and best not in used, near and best in used))
            used |= {best} if near else set()
        flat = np.array(lines, float).ravel()[: len(top) - layer.num_class]
        top[layer.num_class :][: len(flat)] = flat
    return tops


@pytest.mark.parametrize("kind", ["OBJ", "PROB", "MULTIPLY"])
def test_loops(kind):
    layer = EvalDetection(**SMALL, threshold=0.2, nms=0.45, score_type=kind)
    x = values(2, 21, 4, 4).numpy()
    rows = np.array(
        [
            [0, 1, 0, 0.1, 0.2, 0.5, 0.6, 0],
            [0, 1, 0, 0.3, 0.3, 0.9, 0.7, 0],
            [-1] * 8,
            [1, 2, 0, 0.2, 0.1, 0.9, 0.4, 0],
        ]
    )
    found = run(layer, x, rows.reshape(1, 1, -1, 8))[0]
    np.testing.assert_allclose(found, evaluated(layer, x, rows), rtol=1e-9)
    assert found[:, 4::4].any()
    assert found[:, :2].sum() == 3


def test_lists_of_truths():
    layer = EvalDetection(**SMALL, threshold=0.2, nms=0.45)
    x = values(2, 21, 4, 4).numpy()
    lists, rows = np.zeros((2, 3, 5)), []
    lists[0, :2] = [[1, 0.3, 0.4, 0.4, 0.4], [0, 0.6, 0.5, 0.6, 0.4]]
    lists[1, 0] = [0, 0.55, 0.25, 0.7, 0.3]
    for image, (label, cx, cy, w, h) in ((b, row) for b in range(2) for row in lists[b] if row[3]):
        rows.append([image, label + 1, 0, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, 0])
    found = run(layer, x, lists.reshape(2, 15))[0]
    np.testing.assert_allclose(found, run(layer, x, np.array(rows).reshape(1, 1, -1, 8))[0], rtol=1e-12)
    assert found[:, 4::4].any()


def test_without_suppression_only_truths_are_counted():
    rows = np.array([[0, 2, 0, 0.1, 0.2, 0.5, 0.6, 0]])
    found = run(EvalDetection(**SMALL), values(1, 21, 4, 4).numpy(), rows.reshape(1, 1, -1, 8))[0]
    assert found[0, :2].tolist() == [0, 1]
    assert not found[0, 2:].any()


def test_file_and_third_bottom():
    assert round_trip("EvalDetection", side=3, nms=0.5, score_type="OBJ") == EvalDetection(3, nms=0.5, score_type="OBJ")
    assert (
        repr(EvalDetection(**SMALL).infer(((UNKNOWN, 21, 4, 4), (1, 1, UNKNOWN, 8), (1, 3, 9, 9)), 1)) == "((?, 194),)"
    )


@pytest.mark.parametrize(
    ("text", "bottoms"),
    [
        ("for `side` 4", ((1, 21, 3, 4), (1, 1, 3, 8))),
        (r"labels of shape \[1,151\] do not hold 5 numbers per truth", ((1, 21, 4, 4), (1, 151))),
        ("20 channels for 3 boxes", ((1, 20, 4, 4), (1, 1, 3, 8))),
    ],
)
def test_mismatches(text, bottoms):
    with raises("E102", text):
        EvalDetection(**SMALL).infer(bottoms, 1)


def test_nothing_that_is_not_a_number_is_found():
    x = torch.full((1, 21, 4, 4), torch.nan).numpy()
    assert not run(EvalDetection(**SMALL, nms=0.5), x, np.full((1, 1, 1, 8), -1.0, np.float32))[0].any()


def test_first_occurrences():
    values = torch.tensor([3, -1, 3, 2, -1, 2, 5])
    assert _is_first(values).tolist() == [True, True, False, True, False, False, True]
    assert _is_first(values[:0]).tolist() == []
    assert _is_first(torch.arange(200000) // 2).sum() == 100000
