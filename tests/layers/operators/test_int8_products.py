"""Int8Conv, Int8ConvRelu, Int8ConvTranspose, Int8FC: the nearest integers to what real numbers give."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.quantization import Quantization
from tests.layers.operators.int8 import B, W, X, check_nearest, integers, layer_of, reals_of, run
from tests.layers.operators.single import raises

Y = Quantization(0.5, 100)


def biases(count):
    return np.random.default_rng(5).integers(-4000, 4000, count).astype(np.int32)


def convolved(x, w, b, stride, pad, group):
    """Windows of (n, h, w, c) times filters (m, kh, kw, c / group)."""
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    m, kh, kw, depth = w.shape
    rows, columns = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
    found = np.zeros((len(x), rows, columns, m))
    for n, i, j, k in np.ndindex(found.shape):
        first = k // (m // group) * depth
        window = x[n, i * stride : i * stride + kh, j * stride : j * stride + kw, first : first + depth]
        found[n, i, j, k] = (window * w[k]).sum() + b[k]
    return found


@pytest.mark.parametrize("type", ["Int8Conv", "Int8ConvRelu"])
@pytest.mark.parametrize(("stride", "pad", "group"), [(1, 0, 1), (2, 1, 1), (1, 1, 4)])
def test_convolutions(type, stride, pad, group):
    x, w, b = integers(2, 7, 6, 4), integers(8, 3, 3, 4 // group, seed=1), biases(8)
    options = {"kernel": 3, "stride": stride, "pad": pad, "group": group, "order": "NHWC"}
    found = run(type, (x, X), (w, W), (b, B), y=Y, **options)
    exact = convolved(reals_of(x, X), reals_of(w, W), reals_of(b, B), stride, pad, group)
    check_nearest(found, exact, Y, lowest=Y.zero_point if type == "Int8ConvRelu" else 0)


def test_transposed_convolution():
    x, w, b = integers(2, 4, 3, 5), integers(5, 3, 2, 4, seed=1), biases(4)
    found = run("Int8ConvTranspose", (x, X), (w, W), (b, B), y=Y, kernel_h=3, kernel_w=2, stride=2, order="NHWC")
    exact = np.zeros((2, 9, 6, 4)) + reals_of(b, B)
    for i, j in np.ndindex(4, 3):
        part = np.einsum("nc,chwm->nhwm", reals_of(x, X)[:, i, j], reals_of(w, W))
        exact[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2] += part
    check_nearest(found, exact, Y)


def test_inner_products():
    x, w, b = integers(3, 2, 2, 5), integers(6, 20, seed=1), biases(6)
    found = run("Int8FC", (x, X), (w, W), (b, B), y=Y)
    check_nearest(found, reals_of(x, X).reshape(3, 20) @ reals_of(w, W).T + reals_of(b, B), Y)


def test_they_refuse():
    x, w, b = integers(1, 4, 4, 2), integers(3, 1, 1, 2), biases(3)
    with raises("E103", "less than 1"):
        layer_of("Int8FC", X, W, B, y=Quantization(X.scale * W.scale, 0))
    with raises("E107", "input 1 of `Int8FC` is not quantized"):
        layer_of("Int8FC", X, None, B, y=Y)
    with raises("E103", "only `order: NHWC`"):
        layer_of("Int8Conv", X, W, B, y=Y, kernel=1)
    with raises("E102", "channels"):
        run("Int8Conv", (x[..., :1].copy(), X), (w, W), (b, B), y=Y, kernel=1, order="NHWC")
    with raises("E107", "input 2"):
        run("Int8Conv", (x, X), (w, W), (b.astype(np.int64), B), y=Y, kernel=1, order="NHWC")
