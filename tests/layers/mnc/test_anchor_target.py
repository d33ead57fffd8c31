"""AnchorTargetLayer of MNC: what it adds to that of py-faster-rcnn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.layers.detection.anchor_target import AnchorTargetLayer
from netc.layers.mnc.anchor_target import MncAnchorTargetLayer
from tests.layers.detection.frcnn import anchors, placed
from tests.layers.harness import run

SETTINGS = {"ratios": (0.5, 1.0), "scales": (1.0, 3.0), "base_size": 8, "batch_size": 40}
OBJECTS = np.array([[5.0, 6, 20, 15, 3], [30, 10, 55, 40, 1]])
COMMON = (np.zeros((1, 8, 6, 7)), OBJECTS, np.array([[46.0, 58.0, 1.0]]))


LAYER, PLAIN = MncAnchorTargetLayer(feat_stride=8, **SETTINGS), AnchorTargetLayer(feat_stride=8, **SETTINGS)


def targets(layer, *more):
    torch.manual_seed(3)
    return run(layer, *COMMON, *more, tops=4, training=True)


def is_inside(row: int) -> bool:
    _, box = list(placed(anchors(8, (0.5, 1.0), (1.0, 3.0)), 8, 6, 7))[row]
    return min(box[:2]) >= 0 and box[2] < 58 and box[3] < 46


def test_labels_of_given_proposals():
    within = [row for row in range(168) if is_inside(row)]
    beyond = [row for row in range(168) if not is_inside(row)]
    of_objects, background = [*within[:9], *beyond[:4], -1, 168, 9e9], [*within[5:30:2], *beyond[3:9]]
    found = targets(LAYER, np.array(of_objects), np.array(background))
    plain = targets(PLAIN)

    labels = plain[0].reshape(4, 6, 7).transpose(1, 2, 0).flatten()
    labels[within[5:30:2]] = 0
    labels[within[:9]] = 1  # also of those that are in both lists
    got = [one.reshape(4, -1, 6, 7).transpose(2, 3, 0, 1).reshape(168, -1) for one in found]
    np.testing.assert_array_equal(got[0][:, 0], labels)
    np.testing.assert_array_equal(found[1], plain[1])
    np.testing.assert_array_equal(got[2], np.repeat(labels[:, None] == 1, 4, 1))
    np.testing.assert_allclose(got[3], np.repeat(labels[:, None] >= 0, 4, 1) / (labels >= 0).sum())
    assert (found[0] != plain[0]).sum() > 9


@pytest.mark.parametrize("more", [(), (np.zeros((1, 3, 4, 4)),)])
def test_without_proposals_it_is_that_of_py_faster_rcnn(more):
    for found, plain in zip(targets(LAYER, *more), targets(PLAIN)):
        np.testing.assert_array_equal(found, plain)


def test_no_proposals():
    empty = np.zeros(0)
    for found, plain in zip(targets(LAYER, empty, empty), targets(PLAIN)):
        np.testing.assert_array_equal(found, plain)
