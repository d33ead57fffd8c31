import numpy as np
import pytest
import torch

from netc.layers.yolo.segmentation import SegmentationEvaluate, YoloSeg
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, module_of, run, shapes_of

DELTAS = Source(own_gradient="the deltas, of which the loss is the sum of squares")
CASES = [
    Case(YoloSeg(2.0), ((2, 3, 2, 2), (2, 3, 2, 2)), ((1, 2, 3, 4), (1, 2, 3, 4)), held=(1,), source=DELTAS),
    Case(
        YoloSeg(2.0), ((2, 3, 2, 2), (2, 3, 2, 2), (2, 3, 1, 1)), ((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 1, 1)),
        held=(1, 2), source=DELTAS,
    ),
    Case(SegmentationEvaluate(3, 0.1), ((1, 3, 2, 2), (1, 3, 2, 2)), ((1, 2, 3, 4), (1, 2, 3, 4)), source=Source()),
]  # fmt: skip
REQUIRED = {"SegmentationEvaluate": "num_classes: 2"}


@pytest.mark.parametrize("weighted", [False, True])
def test_yolo_seg(weighted):
    scores = values(2, 3, 4, 5).numpy()
    labels = (values(2, 3, 4, 5, seed=8).numpy() > 0.3) * 1.0
    counts = np.arange(1.0, 7).reshape(2, 3, 1, 1)
    weights = np.ones(3)
    if weighted:
        weights = 2 - counts.sum(0).ravel() / (20 - counts).sum(0).ravel()
    delta = 1.5 * (1 / (1 + np.exp(-scores)) - labels)
    delta *= np.where(labels > 0.5, weights[:, None, None], 1)
    layer = YoloSeg(1.5)
    bottoms = [torch.tensor(b) for b in ((scores, labels, counts) if weighted else (scores, labels))]
    bottoms[0].requires_grad_()
    loss = module_of(layer, shapes_of(bottoms))(*bottoms)
    loss.backward()
    assert loss.item() == pytest.approx((delta**2).sum() / 2)
    np.testing.assert_allclose(bottoms[0].grad.numpy(), delta / 2, rtol=1e-12)


def test_segmentation_evaluate():
    masks, labels = values(1, 3, 6, 5).numpy(), values(1, 3, 6, 5, seed=9).numpy()
    labels[0, 2] = -1
    a, b = masks[0] > 0.5, labels[0] > 0.5
    expected = [(a & b)[k].sum() / max((a | b)[k].sum(), 1) for k in range(3)]
    assert expected[2] == 0 < expected[0]
    np.testing.assert_allclose(run(SegmentationEvaluate(3), masks, labels)[0], np.reshape(expected, (1, 1, 1, 3)))


def test_files():
    assert round_trip("YoloSeg", object_scale=2.0, num_class=3) == YoloSeg(2.0, 3)
    assert round_trip("SegmentationEvaluate", num_classes=3, threshold=0.25) == SegmentationEvaluate(3, 0.25)
    with raises("E101", "`num_classes` is missing"):
        layer_from("SegmentationEvaluate")


@pytest.mark.parametrize(
    ("code", "text", "layer", "bottoms"),
    [
        ("E106", "`use_hardsigmoid` is not supported", YoloSeg(use_hardsigmoid=True), ((2, 3, 4), (2, 3, 4))),
        ("E102", r"masks \[2,3,4\] and labels \[2,3,5\]", YoloSeg(), ((2, 3, 4), (2, 3, 5))),
        ("E102", r"numbers of pixels \[2,4\] of masks", YoloSeg(), ((2, 3, 4), (2, 3, 4), (2, 4))),
        ("E102", "expected 1 image, got 2 images", SegmentationEvaluate(), ((2, 3, 4, 4), (2, 3, 4, 4))),
        ("E102", "not of one shape", SegmentationEvaluate(), ((1, 3, 4, 4), (1, 3, 4, 8))),
    ],
)
def test_mismatches(code, text, layer, bottoms):
    with raises(code, text):
        layer.infer(bottoms, 1)
