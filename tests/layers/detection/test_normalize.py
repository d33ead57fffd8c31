"""Normalize, compared with its formula and the gradient of `normalize_layer.cpp` in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.detection.normalize import Normalize
from tests.layers.case import PLANES, Case
from tests.layers.case import Source as Facts
from tests.layers.contract import raises, resizes, round_trip, values
from tests.layers.harness import module_of

KEPT = "the scale of each channel is left out of the sum over channels"
CASES = [
    Case(Normalize(eps=0.05), *PLANES, source=Facts(role="inner")),
    Case(Normalize(False, eps=0.05), *PLANES, source=Facts(role="inner")),
    Case(Normalize(False, channel_shared=False), *PLANES, source=Facts(role="inner", own_gradient=KEPT)),
]


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4)])
def test_values_and_gradients(across, shared, shape):
    x, top = values(*shape).requires_grad_(), values(*shape, seed=4)
    module = module_of(Normalize(across, channel_shared=shared, eps=0.1), (shape,)).double()
    y = module(x)
    y.backward(top)
    data, weight, dy = x.detach().numpy(), module.weight.detach().numpy(), top.numpy()
    axes = tuple(range(1, len(shape))) if across else 1
    norm = np.sqrt((data**2).sum(axes, keepdims=True) + 0.1)
    scale = weight if shared else weight.reshape(-1, *[1] * (len(shape) - 2))
    np.testing.assert_allclose(y.detach().numpy(), data / norm * scale, rtol=1e-12)
    inner = (data * dy).sum(axes, keepdims=True)
    np.testing.assert_allclose(x.grad.numpy(), (dy - data * inner / norm**2) / norm * scale, rtol=1e-9)
    along = tuple(axis for axis in range(len(shape)) if shared or axis != 1)
    np.testing.assert_allclose(module.weight.grad.numpy(), (dy * data / norm).sum(along), rtol=1e-9)


def test_an_image_of_zeros_stays_zero():
    module = module_of(Normalize(), ((1, 2, 3, 3),))
    assert torch.equal(module(torch.zeros(1, 2, 3, 3)), torch.zeros(1, 2, 3, 3))


def test_blobs_file_and_sizes():
    assert [w.shape for w in Normalize().weights(((2, 3, UNKNOWN, 4),))] == [()]
    assert [w.shape for w in Normalize(channel_shared=False).weights(((2, 3, 4, 4),))] == [(3,)]
    round_trip(Normalize, across_spatial=False, channel_shared=False, scale_filler={"type": "constant", "value": 20})
    resizes(Normalize(False), (values(2, 3, 4, 5),), (values(1, 3, 2, 2),))
    with raises("E102", "2 to 4 axes"):
        Normalize().infer(((2, 3, 4, 5, 6),), 1)
