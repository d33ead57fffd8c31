"""MaskPooling and MaskResize of MNC, compared with their arithmetic in loops (`mask_resize_layer.cu`)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers import LayerUse, choose
from netc.layers.cross_entropy import SigmoidCrossEntropyLoss
from netc.layers.detection.instance_masks import MaskPooling, MaskResize, WeightedSigmoidCrossEntropyLoss
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import _fields as fields_of
from tests.layers.harness import module_of, run

CASES = [
    Case(MaskPooling(), ((2, 3, 4, 5), (2, 1, 4, 5)), ((3, 2, 2, 3), (3, 1, 2, 3)), source=Source()),
    Case(MaskResize(3, 2), ((2, 1, 5, 4),), ((1, 2, 2, 6),), source=Source(places_lost=True)),
    Case(
        WeightedSigmoidCrossEntropyLoss(),
        ((2, 3, 4), (2, 3, 4), (2, 3, 4)),
        ((3, 2, 2), (3, 2, 2), (3, 4)),
        held=(1, 2),
        positive=True,
        source=Source(),
    ),
]


def resized(x: np.ndarray, height: int, width: int) -> np.ndarray:
    n, c, h, w = x.shape
    top = np.zeros((n, c, height, width))
    for i, j in np.ndindex(height, width):
        y, z = i * h / height, j * w / width
        if y > h - 0.5 or z > w - 0.5:
            continue
        y, z = min(y, h - 1), min(z, w - 1)
        low, left = int(y), int(z)
        high, right = min(low + 1, h - 1), min(left + 1, w - 1)
        upper = x[:, :, low, left] * (1 - z + left) + x[:, :, low, right] * (z - left)
        lower = x[:, :, high, left] * (1 - z + left) + x[:, :, high, right] * (z - left)
        top[:, :, i, j] = upper * (1 - y + low) + lower * (y - low)
    return top


@pytest.mark.parametrize("size", [(3, 2), (5, 4), (7, 9), (14, 11)])
def test_masks_are_resized(size):
    x = values(2, 3, 5, 4).numpy()
    np.testing.assert_allclose(run(MaskResize(*size), x)[0], resized(x, *size), rtol=1e-12, atol=1e-12)


def test_masks_multiply_all_channels():
    x, mask = values(2, 3, 4, 5).numpy(), values(2, 1, 4, 5, seed=7).numpy()
    np.testing.assert_array_equal(run(MaskPooling(), x, mask)[0], x * mask)


def test_files_and_shapes():
    assert round_trip("MaskResize", output_height=14, output_width=12) == MaskResize(14, 12)
    assert MaskResize(14, 12).infer(((UNKNOWN, 1, 21, UNKNOWN),), 1) == ((UNKNOWN, 1, 14, 12),)
    assert MaskPooling().infer(((UNKNOWN, 8, 3, 4), (2, 1, 3, UNKNOWN)), 1) == ((UNKNOWN, 8, 3, 4),)
    with raises("E103", "`output_width` is required"):
        MaskResize(3).infer(((1, 1, 2, 2),), 1)
    with raises("E102", "expected masks of 4 axes"):
        MaskResize(3, 3).infer(((1, 2, 2),), 1)
    with raises("E102", "expected features and one mask of their size each"):
        MaskPooling().infer(((2, 8, 3, 4), (2, 2, 3, 4)), 1)


def test_loss_with_weights():
    random = np.random.default_rng(5)
    x, target, weight = random.normal(size=(3, 4)) * 4, random.integers(0, 2, (3, 2, 2)), random.integers(0, 2, (3, 4))
    layer = WeightedSigmoidCrossEntropyLoss()
    scores = torch.tensor(x, requires_grad=True)
    loss = module_of(layer, (x.shape, target.shape, weight.shape))(
        scores, *(torch.tensor(one).double() for one in (target, weight))
    )
    loss.backward()
    wanted, slope, total = 0.0, np.zeros(x.shape), weight.sum()
    for place, value in np.ndenumerate(x):
        t, w = target.reshape(x.shape)[place], weight[place]
        wanted -= w * (value * (t - (value >= 0)) - np.log(1 + np.exp(value - 2 * value * (value >= 0))))
        slope[place] = w * (1 / (1 + np.exp(-value)) - t) / total
    np.testing.assert_allclose(loss.item(), wanted / total, rtol=1e-12)
    np.testing.assert_allclose(scores.grad.numpy(), slope, rtol=1e-10)
    assert run(layer, x, target.astype(float), weight * 0.0)[0] == 0


def test_the_third_bottom_decides():
    def chosen(bottoms):
        return choose("SigmoidCrossEntropyLoss", LayerUse(fields_of("LayerParameter", {}), bottoms, 1)).cls

    assert chosen(3) is WeightedSigmoidCrossEntropyLoss
    assert chosen(2) is SigmoidCrossEntropyLoss
    with raises("E102", "expected as many targets and weights as scores"):
        WeightedSigmoidCrossEntropyLoss().infer(((3, 4), (3, 4), (3, 5)), 1)
