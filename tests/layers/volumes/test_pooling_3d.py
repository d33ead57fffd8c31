"""Pooling3D, compared with a transcription of C3D's loops, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.layers.volumes.pooling_3d import Pooling3D
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, values
from tests.layers.harness import layer_of, module_of, run

VOLUMES = ((1, 2, 3, 4, 5),), ((2, 2, 4, 7, 3),)
CASES = [
    Case(Pooling3D((2, 3, 3), stride=(1, 2, 2)), *VOLUMES, source=Source()),
    Case(Pooling3D((2, 3, 3), "AVE", (1, 2, 2), (0, 1, 1)), *VOLUMES, source=Source()),
]
REQUIRED = {"Pooling3D": "kernel_size: 1 kernel_depth: 1"}
WHOLE = {
    f"Pooling3D {field}.pad": {field: {"kernel_size": 3, "kernel_depth": 3, "pool": "AVE", "pad": 1}}
    for field in ("pooling3d_param", "pooling_param")
}
LAYERS = [
    Pooling3D((2, 3, 3), stride=(2, 2, 2)),
    Pooling3D((1, 2, 2), stride=(2, 3, 3)),
    Pooling3D((2, 2, 2), "AVE", (2, 2, 2)),
    Pooling3D((3, 3, 3), "AVE", (1, 2, 2), (0, 1, 1)),
]


def windows(layer, shape):
    """For each window: its place in the top, its part of the volume, and the number of elements that AVE counts."""
    pad = layer.pad
    count = [-(-(e + 2 * p - k) // s) + 1 for e, p, k, s in zip(shape, pad, layer.kernel, layer.stride)]
    for place in np.ndindex(*count):
        start = [i * s - p for i, s, p in zip(place, layer.stride, pad)]
        end = [min(a + k, e + p) for a, k, e, p in zip(start, layer.kernel, shape, pad)]
        size = np.prod([b - a for a, b in zip(start, end)])
        yield place, tuple(slice(max(a, 0), min(b, e)) for a, b, e in zip(start, end, shape)), size


def pooled(layer, x, gradient):
    tops, of_x = {}, np.zeros_like(x)
    for n, c in np.ndindex(*x.shape[:2]):
        for place, part, size in windows(layer, x.shape[2:]):
            window = x[n, c][part]
            if layer.pool == "MAX":
                tops[n, c, *place] = window.max()
                of_x[n, c][part] += gradient[n, c, *place] * (window == window.max())
            else:
                tops[n, c, *place] = window.sum() / size
                of_x[n, c][part] += gradient[n, c, *place] / size
    return tops, of_x


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_forward_and_backward(layer, stock):
    x = values(2, 3, 5, 8, 8)
    module = module_of(layer, (tuple(x.shape),), 1, stock).double()
    given = x.clone().requires_grad_()
    top = module(given)
    gradient = values(*top.shape, seed=8)
    tops, of_x = pooled(layer, x.numpy(), gradient.numpy())
    assert layer.infer((tuple(x.shape),), 1) == (tuple(top.shape),)
    for place, value in tops.items():
        np.testing.assert_allclose(top[place].item(), value, rtol=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(top, given, gradient)[0].numpy(), of_x, rtol=1e-12, atol=1e-14)


def test_both_formats():
    fields = {"kernel_depth": 2, "kernel_size": 3, "temporal_stride": 2, "stride": 2, "pad": 1, "pool": "AVE"}
    new = layer_of("Pooling3D", {"pooling3d_param": fields})
    assert new == layer_of("Pooling3D", {"pooling_param": fields})
    assert new == Pooling3D((2, 3, 3), "AVE", (2, 2, 2), (0, 1, 1))
    assert layer_of("Pooling3D", {"pooling3d_param": new.to_caffe()}) == new


def test_errors():
    with raises("E101", "`pad` requires `pool: AVE`"):
        layer_of("Pooling3D", {"pooling3d_param": {"kernel_depth": 2, "kernel_size": 3, "pad": 1}})
    with raises("E103", "no `STOCHASTIC` pooling"):
        layer_of("Pooling3D", {"pooling3d_param": {"kernel_depth": 2, "kernel_size": 3, "pool": "STOCHASTIC"}})
    with raises("E101", "`kernel_size` is missing"):
        layer_of("Pooling3D", {"pooling3d_param": {"kernel_depth": 2}})
    with raises("E102", "5 axes"):
        Pooling3D((1, 1, 1)).infer(((1, 2, 3, 4),), 1)
    with raises("E102", "does not fit"):
        Pooling3D((5, 1, 1)).infer(((1, 2, 3, 4, 5),), 1)


def test_windows_beyond_the_volume():
    layer = Pooling3D((1, 1, 1), stride=(1, 2, 2))
    (top,) = run(layer, values(1, 1, 2, 4, 4).float(), stock=False)
    assert (top[..., 2] < -3e38).all()


@pytest.mark.parametrize("layer", LAYERS[2:], ids=str)
def test_sizes(layer):
    resizes(layer, (values(1, 2, 5, 6, 7),), (values(2, 2, 4, 7, 5),))
