"""SoftmaxWithLossOHEM: as SoftmaxWithLoss, with the loss of each position."""

from __future__ import annotations

import numpy as np
import pytest

from netc.layers.cross_entropy import SoftmaxWithLoss
from netc.layers.detection.softmax_loss_ohem import SoftmaxWithLossOhem
from tests.layers.case import LABELLED, Case, Source
from tests.layers.contract import round_trip, values
from tests.layers.harness import run

CASES = [Case(SoftmaxWithLossOhem(), *LABELLED, tops=3, integers=(1,), below=5, source=Source())]


@pytest.mark.parametrize("ignore", [None, 2])
def test_the_loss_of_each_position(ignore):
    scores, labels = values(6, 4, 2, 1).numpy(), np.arange(12.0).reshape(6, 1, 2, 1) % 4
    loss, probabilities, each = run(SoftmaxWithLossOhem(ignore), scores, labels, tops=3)
    of_label = np.take_along_axis(probabilities, labels.astype(int), 1)
    expected = np.where(labels == ignore, 0, -np.log(of_label))
    np.testing.assert_allclose(each, expected, rtol=1e-9)
    assert each.shape == labels.shape
    np.testing.assert_array_equal(loss, run(SoftmaxWithLoss(ignore), scores, labels)[0])


def test_files():
    layer = round_trip("SoftmaxWithLossOHEM", loss_param={"ignore_label": -1, "normalization": "PRE_FIXED"})
    assert layer == SoftmaxWithLossOhem(-1, "PRE_FIXED")
