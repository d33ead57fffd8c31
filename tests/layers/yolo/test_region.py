"""Region and RegionYolo, compared with the loops of darknet over boxes and places."""

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.yolo.region import Region, RegionYolo
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import _fields, gradcheck, run
from tests.layers.yolo.darknet import logistic

CASES = [
    Case(Region(5, 3, 2), ((2, 18, 2, 3),), ((1, 18, 3, 1),), source=Source()),
    Case(RegionYolo(4, 3, 2), ((2, 16, 2, 3),), ((1, 16, 3, 1),), source=Source()),
    Case(
        RegionYolo(4, 2, 6, do_softmax=False, mask=(0, 1)), ((2, 14, 2, 3),), ((1, 14, 3, 1),), source=Source()
    ),
]  # fmt: skip


def activated(x, boxes, coords, classes, softmax=True):
    found = x.copy()
    n, _, h, w = x.shape
    length = coords + 1 + classes
    for b, k, row, column in np.ndindex(n, boxes, h, w):
        v = found[b, k * length : (k + 1) * length, row, column]
        v[:2], v[coords] = logistic(v[:2]), logistic(v[coords])
        if softmax:
            e = np.exp(v[coords + 1 :] - v[coords + 1 :].max())
            v[coords + 1 :] = e / e.sum()
        else:
            v[coords + 1 :] = logistic(v[coords + 1 :])
    return found


@pytest.mark.parametrize(("coords", "classes", "boxes"), [(4, 3, 2), (5, 2, 1), (2, 1, 3)])
def test_loops(coords, classes, boxes):
    x = values(2, boxes * (coords + 1 + classes), 3, 4).numpy()
    wanted = activated(x, boxes, coords, classes)
    np.testing.assert_allclose(run(Region(coords, classes, boxes), x)[0], wanted, rtol=1e-12)
    found = run(RegionYolo(coords, classes, boxes, axis=2, end_axis=3), x)[0]
    np.testing.assert_allclose(found, wanted.reshape(*x.shape[:2], 12), rtol=1e-12)
    single = RegionYolo(coords, classes, 9, do_softmax=False, mask=tuple(range(boxes)))
    np.testing.assert_allclose(run(single, x)[0], activated(x, boxes, coords, classes, softmax=False), rtol=1e-12)


def test_without_a_mask_all_boxes_are_predicted():
    x = values(1, 2 * 7, 2, 2).numpy()
    found = run(RegionYolo(4, 2, 2, do_softmax=False), x)[0]
    np.testing.assert_allclose(found, activated(x, 2, 4, 2, softmax=False), rtol=1e-12)


@pytest.mark.parametrize("layer", [Region(4, 3, 2), RegionYolo(4, 3, 2), RegionYolo(4, 3, 2, do_softmax=False)])
def test_gradient(layer):
    gradcheck(layer, (2, 16, 2, 2))


def test_files_and_shapes():
    assert round_trip("Region", coords=5, classes=3, num=2) == Region(5, 3, 2)
    message = {
        "region_yolo_param": {"classes": 80, "num": 9, "do_softmax": False, "anchors": [1.5, 2.0], "mask": [0, 1, 2]},
        "flatten_param": {"axis": 2, "end_axis": 3},
    }
    layer = RegionYolo.from_caffe(_fields("LayerParameter", message))
    assert layer == RegionYolo(4, 80, 9, False, (1.5, 2.0), (0, 1, 2), 2, 3)
    assert layer.to_caffe()["flatten_param"] == {"axis": 2, "end_axis": 3}
    assert RegionYolo().to_caffe() == {"region_yolo_param": {}}
    assert layer.infer(((1, 255, UNKNOWN, 13),), 1) == ((1, 255, UNKNOWN, 13),)
    assert repr(RegionYolo(num=5).infer(((UNKNOWN, 125, 13, UNKNOWN),), 1)) == "((?, ?),)"
    assert Region(num=5).cost(((1, 125, 2, 2),), ((),)).operations == 2000


@pytest.mark.parametrize(
    ("code", "text", "layer"),
    [
        ("E102", "14 channels for 1 box of 25 numbers each: expected 25", Region()),
        ("E102", "14 channels for 3 boxes of 25 numbers each", RegionYolo(num=1, do_softmax=False, mask=(1, 2, 3))),
        ("E103", "`coords` must be at least 2", Region(1)),
        ("E103", "`classes` must be at least 1", RegionYolo(classes=0)),
        ("E103", "`num` must be at least 1", Region(num=0)),
        ("E101", "`end_axis` 1 is before `axis` 3", RegionYolo(4, 2, 2, axis=3, end_axis=1)),
    ],
)
def test_mismatches(code, text, layer):
    with raises(code, text):
        layer.infer(((1, 14, 2, 2),), 1)


def test_a_large_score_does_not_overflow():
    x = torch.full((1, 8, 1, 1), 1000.0)
    assert torch.isfinite(Region(4, 3).forward((x,), (), None)).all()
