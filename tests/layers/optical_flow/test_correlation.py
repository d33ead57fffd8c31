"""Correlation and Correlation1D, compared with transcriptions of FlowNet2's kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow.correlation import Correlation, Correlation1D
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_from, module_of

SHAPES = ((1, 2, 4, 5),) * 2, ((2, 3, 6, 4),) * 2
LOST = Source(places_lost=True)
REQUIRED = {
    "Correlation": "kernel_size: 1 max_displacement: 1",
    "Correlation1D": "kernel_size: 1 max_displacement: 1",
}
CASES = [
    Case(Correlation(1, 2, pad=2, stride_2=2), *SHAPES, source=LOST),
    Case(Correlation(3, 1, pad=2, stride_1=2, correlation_type="SUBTRACT"), *SHAPES, source=LOST),
    Case(Correlation1D(1, 2, pad=2), *SHAPES, source=LOST),
]
REQUIRED = {
    "Correlation": "kernel_size: 1 max_displacement: 1",
    "Correlation1D": "kernel_size: 1 max_displacement: 1",
}
WHOLE = {
    "correlation_param.kernel_size": {"correlation_param": {"kernel_size": 3, "max_displacement": 1}},
    "correlation_param.single_direction": {
        "correlation_param": {"kernel_size": 1, "max_displacement": 1, "single_direction": 1}
    },
}


def correlated(layer, one, other, gradient=None):
    """The top; with a gradient of it, those of both bottoms, as the kernels of MULTIPLY add them up."""
    horizontal = isinstance(layer, Correlation1D)
    pad_y, pad_x = (0 if horizontal else layer.pad), layer.pad
    far = layer.max_displacement + layer.stride_2  # what a displacement beyond the padding reads
    pads = ((0, 0), (0, 0), (pad_y, pad_y), (pad_x + far, pad_x + far))
    first, second = np.pad(one, pads), np.pad(other, pads)
    of_first, of_second = np.zeros_like(first), np.zeros_like(second)
    k, radius, limit = layer.kernel_size, layer.kernel_size // 2, layer.max_displacement
    n, c, h, w = one.shape
    border = 0 if horizontal else limit
    height = -(-(h + 2 * pad_y - 2 * (border + radius)) // layer.stride_1)
    width = -(-(w + 2 * pad_x - 2 * (limit + radius)) // layer.stride_1)
    reach = limit // layer.stride_2
    wide = reach + 1 if horizontal and layer.single_direction else 2 * reach + 1
    shift = {0: -reach, -1: -wide, 1: 0}[layer.single_direction] if horizontal else -reach
    tall = 1 if horizontal else wide
    top = np.zeros((n, tall * wide, height, width))
    for i, channel, y, x in np.ndindex(*top.shape):
        s2o = (channel % wide + shift) * layer.stride_2
        s2p = 0 if horizontal else (channel // wide - reach) * layer.stride_2
        y1, x1 = y * layer.stride_1 + border, x * layer.stride_1 + limit + far
        a = (i, slice(None), slice(y1, y1 + k), slice(x1, x1 + k))
        b = (i, slice(None), slice(y1 + s2p, y1 + s2p + k), slice(x1 + s2o, x1 + s2o + k))
        if layer.correlation_type == "SUBTRACT":
            top[i, channel, y, x] = np.abs(first[a] - second[b]).sum() / (k * k * c)
            continue
        top[i, channel, y, x] = (first[a] * second[b]).sum() / (k * k * c)
        if gradient is not None:
            of_first[a] += gradient[i, channel, y, x] * second[b] / (k * k * c)
            of_second[b] += gradient[i, channel, y, x] * first[a] / (k * k * c)
    inner = (..., slice(pad_y, pad_y + h), slice(pad_x + far, pad_x + far + w))
    return top, of_first[inner], of_second[inner]


LAYERS = [
    Correlation(1, 4, pad=4),
    Correlation(1, 4, pad=4, stride_1=2, stride_2=2),
    Correlation(3, 4, pad=4, stride_2=2),
    Correlation(3, 3, pad=2, stride_1=3, stride_2=2),
    Correlation(1, 0),
    Correlation(5, 2, pad=4, correlation_type="SUBTRACT"),
    Correlation(1, 4, pad=3, stride_1=2, stride_2=2, correlation_type="SUBTRACT"),
    Correlation1D(1, 4, pad=4),
    Correlation1D(1, 6, pad=6, stride_2=2, single_direction=-1),
    Correlation1D(3, 3, pad=2, stride_1=2, single_direction=1),
    Correlation1D(3, 3, pad=2, single_direction=-1, correlation_type="SUBTRACT"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_forward_and_backward(layer):
    one, other = values(2, 3, 9, 37), values(2, 3, 9, 37, seed=4)
    given = one.clone().requires_grad_(), other.clone().requires_grad_()
    top = module_of(layer, (tuple(one.shape),) * 2).double()(*given)
    assert layer.infer((tuple(one.shape),) * 2, 1) == (tuple(top.shape),)
    gradient = values(*top.shape, seed=5)
    expected = correlated(layer, one.numpy(), other.numpy(), gradient.numpy())
    np.testing.assert_allclose(top.detach().numpy(), expected[0], rtol=1e-10, atol=1e-12)
    if layer.correlation_type == "MULTIPLY":
        for found, wanted in zip(torch.autograd.grad(top, given, gradient), expected[1:]):
            np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-10, atol=1e-12)


def test_parameters():
    fields = {"kernel_size": 3, "max_displacement": 4, "pad": 2, "stride_1": 2, "stride_2": 3}
    assert round_trip("Correlation", **fields) == Correlation(3, 4, 2, 2, 3)
    assert round_trip("Correlation1D", **fields, single_direction=-1).single_direction == -1
    with raises("E101", "`max_displacement` is missing"):
        layer_from("Correlation", kernel_size=1)
    with raises("E103", "must be odd"):
        layer_from("Correlation", kernel_size=2, max_displacement=1)
    with raises("E103", "expected -1, 0 or 1"):
        layer_from("Correlation1D", kernel_size=1, max_displacement=1, single_direction=2)
    with raises("E103", "`stride` is 1x0"):
        layer_from("Correlation", kernel_size=1, max_displacement=1, stride_2=0)


def test_shapes():
    layer = Correlation(1, 20, pad=20, stride_2=2)
    assert layer.infer(((1, 256, UNKNOWN, 64), (1, 256, 48, UNKNOWN)), 1) == ((1, 441, 48, 64),)
    with raises("E102", "too short for a kernel of 1"):
        Correlation(1, 4).infer(((1, 2, 8, 9),) * 2, 1)
    with raises("E102", "differ at axis 1"):
        layer.infer(((1, 2, 8, 9), (1, 3, 8, 9)), 1)


def test_sizes_and_devices():
    layer = Correlation(3, 4, pad=4, stride_2=2)
    first, second = (tuple(values(*shape, seed=s) for s in (1, 2)) for shape in ((2, 3, 9, 37), (1, 3, 5, 8)))
    resizes(layer, first, second)
    meta = torch.empty(2, 3, 9, 37, device="meta")
    assert layer.forward((meta, meta), (), None).shape == layer.infer((tuple(meta.shape),) * 2, 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("layer", [LAYERS[1], LAYERS[5], LAYERS[8]], ids=str)
def test_tracing(layer):
    traces(layer, values(1, 2, 7, 8), values(1, 2, 7, 8, seed=3))
