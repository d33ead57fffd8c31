"""NdConvolution and NdPooling, compared with loops over kernels and windows, and as in cuDNN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError
from netc.diagnostics import Source as Text
from netc.ir.dims import UNKNOWN
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.volumes.nd_layers import NdConvolution, NdPooling
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.detection.regions import exports_to
from tests.layers.harness import module_of, run
from tests.layers.volumes.test_convolution_3d import convolved

VOLUMES = ((1, 2, 3, 4, 5),), ((2, 2, 4, 7, 3),)
CASES = [
    Case(NdConvolution(2, (2, 3, 1), (1, 2, 1), (1, 0, 0), 2), *VOLUMES, source=Source()),
    Case(NdPooling((2, 3, 2), (1, 2, 1)), *VOLUMES, source=Source()),
    Case(NdPooling((2, 3, 3), (1, 2, 2), (0, 1, 1), "AVE"), *VOLUMES, source=Source()),
    Case(NdPooling((), pool="AVE"), *VOLUMES, source=Source()),
]
REQUIRED = {
    "NdConvolution": "num_output: 6 kernel_shape { dim: 1 dim: 1 dim: 1 }",
    "NdPooling": "kernel_shape { dim: 1 dim: 1 dim: 1 }",
}
KERNEL = {"kernel_shape": {"dim": [3, 2, 3]}}
WHOLE = {
    **{
        f"{message}.{name}": {message: {**more, **KERNEL, name: {"dim": [1, 1, 2]}}}
        for message, more in (("convolution_param", {"num_output": 2}), ("pooling_param", {}))
        for name in ("kernel_shape", "stride_shape", "pad_shape")
    },
}


@pytest.mark.parametrize("stock", [True, False])
def test_convolution(stock):
    layer = NdConvolution(4, (2, 3, 1), (1, 2, 2), (1, 1, 0))
    x, weight, bias = values(2, 3, 5, 7, 6), values(4, 3, 2, 3, 1, seed=4), values(4, seed=5)
    assert [blob.shape for blob in layer.weights((tuple(x.shape),))] == [(4, 3, 2, 3, 1), (4,)]
    (found,) = run(layer, x, weights=(weight, bias), stock=stock)
    weight, bias = (blob.float().double().numpy() for blob in (weight, bias))  # the module's are float32 at first
    expected = convolved(x.numpy(), weight, bias, layer.stride, layer.pad)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert layer.cost((tuple(x.shape),), (expected.shape,)) == Cost(macs=expected.size * 3 * 2 * 3)


def pooled(layer: NdPooling, x: np.ndarray, gradient: np.ndarray | None = None):
    """The top, and the gradient of the bottom."""
    axes = x.ndim - 2
    kernel = layer.kernel or x.shape[2:]
    stride, pad = layer.stride or (1,) * axes, layer.pad or (0,) * axes
    count = []
    for extent, k, s, p in zip(x.shape[2:], kernel, stride, pad):
        windows = int(np.ceil((extent + 2 * p - k) / s)) + 1
        count.append(windows - (p > 0 and (windows - 1) * s >= extent + p))
    top, of_x = np.zeros((*x.shape[:2], *count)), np.zeros_like(x)
    for n, c, *place in np.ndindex(*top.shape):
        starts = [i * s - p for i, s, p in zip(place, stride, pad)]
        part = tuple(slice(max(a, 0), min(a + k, e)) for a, k, e in zip(starts, kernel, x.shape[2:]))
        window, sent = x[n, c][part], 0.0 if gradient is None else gradient[n, c, *place]
        if layer.pool == "MAX":
            top[n, c, *place] = window.max()
            of_x[n, c][part] += sent * (window == window.max())
        else:
            top[n, c, *place] = window.sum() / np.prod(kernel)
            of_x[n, c][part] += sent / np.prod(kernel)
    return top, of_x


@pytest.mark.parametrize("stock", [True, False])
@pytest.mark.parametrize(
    "layer",
    [
        NdPooling((1, 2, 2), (1, 2, 2)),
        NdPooling((2, 3, 3), (2, 2, 2), (1, 1, 0)),
        NdPooling((2, 3, 2), (2, 2, 3), pool="AVE"),
        NdPooling((3, 3, 3), (2, 2, 2), (1, 1, 1), "AVE"),
        NdPooling((2, 2, 1), pool="AVE"),
        NdPooling(()),
        NdPooling((), pool="AVE"),
    ],
    ids=str,
)
def test_pooling(layer, stock):
    x = values(2, 3, 5, 6, 8)
    module = module_of(layer, (tuple(x.shape),), 1, stock).double()
    given = x.clone().requires_grad_()
    top = module(given)
    gradient = values(*top.shape, seed=8)
    expected, of_x = pooled(layer, x.numpy(), gradient.numpy())
    assert layer.infer((tuple(x.shape),), 1) == (expected.shape,)
    np.testing.assert_allclose(top.detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(torch.autograd.grad(top, given, gradient)[0].numpy(), of_x, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
def test_planes(pool):
    layer, x = NdPooling((3, 2), (2, 2), (1, 0), pool), values(2, 3, 6, 7).numpy()
    np.testing.assert_allclose(run(layer, x)[0], pooled(layer, x)[0], rtol=1e-12)
    assert NdConvolution(2, (3, 1)).infer(((1, 4, 6, 5),), 1) == ((1, 2, 4, 5),)


def test_files():
    shapes = {"kernel_shape": {"dim": [3, 2, 1]}, "stride_shape": {"dim": [1, 2, 2]}, "pad_shape": {"dim": [1, 0, 0]}}
    found = round_trip("NdConvolution", num_output=4, **shapes, group=2, weight_filler={"type": "xavier"})
    assert found == NdConvolution(4, (3, 2, 1), (1, 2, 2), (1, 0, 0), 2, weight_filler=Filler("xavier"))
    assert round_trip("NdConvolution", num_output=4, **KERNEL) == NdConvolution(4, (3, 2, 3))
    assert round_trip("NdPooling", **shapes, pool="AVE") == NdPooling((3, 2, 1), (1, 2, 2), (1, 0, 0), "AVE")
    assert round_trip("NdPooling", **KERNEL, global_pooling=True, pool="AVE") == NdPooling((), pool="AVE")
    assert round_trip("NdPooling", global_pooling=True) == NdPooling(())


def test_errors():
    with raises("E101", "`kernel_shape` is missing"):
        round_trip("NdConvolution", num_output=2, kernel_size=[3])
    with raises("E101", "`kernel_shape` is missing"):
        round_trip("NdPooling", kernel_size=3)
    with raises("E101", "`stride_shape` has 2 numbers, `kernel_shape` has 3"):
        round_trip("NdPooling", **KERNEL, stride_shape={"dim": [1, 1]})
    with raises("E101", "`global_pooling` does not support `pad_shape`"):
        round_trip("NdPooling", **KERNEL, global_pooling=True, pad_shape={"dim": [1, 1, 1]})
    with raises("E102", "not a multiple of `group` 2"):
        round_trip("NdConvolution", num_output=3, **KERNEL, group=2)
    with raises("E103", "`stride_shape` is 1x0x1"):
        round_trip("NdPooling", **KERNEL, stride_shape={"dim": [1, 0, 1]})
    with raises("E103", "`pad_shape` is negative"):
        round_trip("NdConvolution", num_output=2, **KERNEL, pad_shape={"dim": [-1, 0, 1]})
    with raises("E103", "padding of 2 is not less than the kernel of 2"):
        round_trip("NdPooling", **KERNEL, pad_shape={"dim": [0, 2, 0]})
    with raises("E103", "does not support `STOCHASTIC`"):
        round_trip("NdPooling", **KERNEL, pool="STOCHASTIC")
    for layer in (NdConvolution(2, (1, 1, 1)), NdPooling((2, 2, 2))):
        with raises("E102", "`kernel_shape` has 3 numbers, so a bottom requires 5 axes .n, c, ...., got 4 axes"):
            layer.infer(((1, 2, 3, 4),), 1)
    with raises("E102", "does not fit"):
        NdConvolution(2, (4, 1, 1)).infer(((1, 2, 3, 4, 5),), 1)


def test_unknown_extents_and_sizes():
    assert repr(NdPooling((1, 2, 2), (1, 2, 2)).infer(((UNKNOWN, 3, 8, UNKNOWN, 9),), 1)) == "((?, 3, 8, ?, 5),)"
    assert repr(NdConvolution(2, (3, 3, 3)).infer(((UNKNOWN, 3, 8, UNKNOWN, 9),), 1)) == "((?, 2, 6, ?, 7),)"
    for layer in (NdPooling((2, 3, 3), (2, 2, 2), (1, 1, 1), "AVE"), NdPooling((2, 2, 2), (2, 2, 2))):
        resizes(layer, (values(1, 2, 5, 6, 7),), (values(2, 2, 4, 7, 5),))
        traces(layer, values(1, 2, 5, 6, 7))


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 9 dim: 8 } } }
layer { name: "conv" type: "NdConvolution" bottom: "data" top: "conv" convolution_param { num_output: 2
  kernel_shape { dim: 3 dim: 3 dim: 1 } pad_shape { dim: 1 dim: 1 dim: 0 } weight_filler { type: "gaussian" } } }
layer { name: "most" type: "NdPooling" bottom: "conv" top: "most" pooling_param { pool: MAX
  kernel_shape { dim: 1 dim: 2 dim: 2 } stride_shape { dim: 1 dim: 2 dim: 2 } } }
layer { name: "mean" type: "NdPooling" bottom: "most" top: "mean" pooling_param { pool: AVE
  kernel_shape { dim: 2 dim: 3 dim: 3 } stride_shape { dim: 2 dim: 2 dim: 2 } pad_shape { dim: 0 dim: 1 dim: 1 } } }
"""


def test_a_plain_convolution_does_not_read_their_fields():
    assert not [d for d in netc.check(Text("net", NET)) if d.severity == "error"]
    with pytest.raises(NetcError, match="`kernel_shape` is specific to"):
        netc.load(Text("net", NET.replace("NdConvolution", "Convolution")))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "python"])
def test_exports(form, tmp_path):
    feeds = [{"data": np.random.default_rng(1).normal(size=(1, 3, 4, 9, 8)).astype(np.float32)}]
    exports_to(form, tmp_path, NET, feeds)
