"""SmoothL1Loss and SmoothL1LossOHEM, compared with their arithmetic (`smooth_L1_loss_layer.cu`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.smooth_l1_loss import SmoothL1Loss, SmoothL1LossOhem
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_from, module_of

FOUR = ((4, 3, 2),) * 4, ((2, 5),) * 4
THREE = ((4, 3, 2, 1),) * 3, ((2, 5, 1, 3),) * 3
CASES = [
    Case(SmoothL1Loss(0.7), *FOUR, held=(2, 3), source=Source()),
    Case(SmoothL1LossOhem("PRE_FIXED", 3.0), *THREE, integers=(2,), below=2, source=Source()),
]


def loss(difference: np.ndarray, sigma: float) -> np.ndarray:
    size, square = np.abs(difference), sigma**2
    return np.where(size < 1 / square, square * difference**2 / 2, size - 0.5 / square)


def slope(difference: np.ndarray, sigma: float) -> np.ndarray:
    return np.where(np.abs(difference) < 1 / sigma**2, sigma**2 * difference, np.sign(difference))


def gradients(layer, bottoms, tops: int = 1):
    """The tops and the gradients of the first two bottoms for 1.5 times the loss."""
    tensors = [torch.tensor(bottom, requires_grad=i < 2) for i, bottom in enumerate(bottoms)]
    found = module_of(layer, tuple(bottom.shape for bottom in bottoms), tops)(*tensors)
    found = [found] if isinstance(found, torch.Tensor) else list(found)
    (1.5 * found[0]).backward()
    return [top.detach().numpy() for top in found], [tensor.grad.numpy() for tensor in tensors[:2]]


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("sigma", [1.0, 3.0, 0.6])
def test_loss_and_gradients(count, sigma):
    bottoms = [2 * values(4, 6, 2, 3, seed=seed).numpy() for seed in range(count)]
    inside, outside = (bottoms[i] if count > i else 1.0 for i in (2, 3))
    difference = inside * (bottoms[0] - bottoms[1])
    (top,), (first, second) = gradients(SmoothL1Loss(sigma), bottoms)
    assert top == pytest.approx((outside * loss(difference, sigma)).sum() / 4, rel=1e-12)
    expected = 1.5 * slope(difference, sigma) / 4 * (inside * outside if count == 4 else 1.0)
    np.testing.assert_allclose(first, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second, -expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "divisor"), [("FULL", 24), ("VALID", 24), ("BATCH_SIZE", 4), ("NONE", 1), ("PRE_FIXED", 7.5)]
)
@pytest.mark.parametrize("count", [2, 3])
def test_loss_of_each_region(mode, divisor, count):
    bottoms = [2 * values(4, 5, 2, 3, seed=seed).numpy() for seed in range(2)]
    weights = values(4, 5, 2, 3, seed=9).numpy().round() if count == 3 else 1.0
    bottoms += [weights] if count == 3 else []
    difference = weights * (bottoms[0] - bottoms[1])
    (top, each), (first, second) = gradients(SmoothL1LossOhem(mode, 7.5), bottoms, tops=2)
    assert top == pytest.approx(loss(difference, 1).sum() / divisor, rel=1e-12)
    np.testing.assert_allclose(each, loss(difference, 1).sum(1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(first, 1.5 * slope(difference, 1) / divisor, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second, -first, rtol=1e-9, atol=1e-12)


def test_a_divisor_below_one_is_one():
    bottoms = [values(2, 3).numpy(), values(2, 3, seed=4).numpy()]
    small, one = (gradients(SmoothL1LossOhem("PRE_FIXED", fixed), bottoms)[0] for fixed in (0.25, 1.0))
    np.testing.assert_array_equal(small, one)


def test_files_and_shapes():
    assert round_trip("SmoothL1Loss", sigma=3.0) == SmoothL1Loss(3.0)
    ohem = round_trip("SmoothL1LossOHEM", normalization="PRE_FIXED", pre_fixed_normalizer=128.0)
    assert ohem == SmoothL1LossOhem("PRE_FIXED", 128.0)
    assert layer_from("SmoothL1LossOHEM", normalize=False) == SmoothL1LossOhem("BATCH_SIZE")
    assert SmoothL1Loss().infer(((UNKNOWN, 84), (UNKNOWN, 84), (3, 84, 1, 1)), 1) == ((),)
    assert SmoothL1LossOhem().infer(((UNKNOWN, 8), (3, 8)), 2) == ((), (UNKNOWN, 1, 1, 1))
    with raises("E102", "the bottoms differ in shape"):
        SmoothL1Loss().infer(((3, 84), (3, 84), (3, 4)), 1)
    with raises("E102", "expected 1 to 4 axes"):
        SmoothL1Loss().infer(((1,) * 5, (1,) * 5), 1)
    for sigma in (0.0, -1.0, math.nan, math.inf):
        with raises("E103", "`sigma` is .*: it must be positive"):
            SmoothL1Loss(sigma).infer(((3, 84), (3, 84)), 1)
