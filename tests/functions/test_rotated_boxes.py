"""Overlaps of rotated boxes, compared with OpenCV's."""

from __future__ import annotations

import numpy as np
import torch

from netc.functions.rotated_boxes import overlaps
from tests.layers.operators.detectron import boxes, overlap


def test_intersections_over_unions():
    others = boxes(60, rotated=True)
    others[::5, 4] = 0
    for box in others[:10]:
        expected = [overlap(box, other, 0) for other in others]
        np.testing.assert_allclose(overlaps(*map(torch.from_numpy, (box, others))), expected, atol=1e-4)


def test_boxes_inside_beside_and_without_area():
    box = torch.tensor([0.0, 0.0, 4.0, 4.0, 0.0])
    others = torch.tensor([[0, 0, 2, 2, 45], [4, 0, 4, 4, 0], [0, 0, 0, 0, 10], [0, 0, 8, 8, 30]], dtype=torch.float32)
    np.testing.assert_allclose(overlaps(box, others), [0.25, 0, 0, 0.25], atol=1e-6)
    assert overlaps(others[2], others[2:3]).isnan().all()
