import itertools

import numpy as np
import pytest

from netc.ir.layer import Cost
from netc.ir.receptive_field import ReceptiveField
from tests.layers.contract import raises, traces, values
from tests.layers.harness import gradcheck
from tests.layers.operators.windows import compute, last, made, numbers


def transposed(x, w, b, stride, pads=(0, 0, 0, 0), adj=(0, 0), group=1):
    (n, c, height, width), (_, depth, kh, kw) = x.shape, w.shape
    whole = [(e - 1) * s + k + a for e, s, k, a in zip((height, width), stride, (kh, kw), adj)]
    y = np.zeros((n, depth * group, *whole))
    for i, j, u, v in itertools.product(range(height), range(width), range(kh), range(kw)):
        for channel in range(c):
            g = channel // (c // group)
            outputs = slice(g * depth, (g + 1) * depth)
            part = x[:, channel, i, j, None] * w[channel, :, u, v]
            y[:, outputs, i * stride[0] + u, j * stride[1] + v] += part
    top, left, bottom, right = pads
    y = y[:, :, top : whole[0] - bottom, left : whole[1] - right]
    return y + (0 if b is None else b[:, None, None])


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernels": [3, 2], "strides": [1, 1]},
        {"kernels": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernels": [3, 3], "strides": [2, 3], "pads": [1, 0, 1, 0], "adjs": [1, 2]},
        {"kernels": [3, 2], "strides": [2, 2], "pads": [0, 1, 2, 0]},
        {"kernels": [3, 2], "strides": [2, 2], "adjs": [2, 1]},
        {"kernels": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 0], "adjs": [2, 0]},
    ],
    ids=str,
)
@pytest.mark.parametrize("group", [1, 2])
def test_forward_and_backward(arguments, group):
    x, w, b = numbers(2, 4, 3, 5), numbers(4, 3, *arguments["kernels"], seed=2), numbers(3 * group, seed=3)
    rest = arguments["strides"], arguments.get("pads", (0, 0, 0, 0)), arguments.get("adjs", (0, 0)), group
    y = transposed(x, w, b, *rest)
    np.testing.assert_allclose(compute("ConvTranspose", x, w, b, group=group, **arguments), y, rtol=1e-10)
    nhwc = compute("ConvTranspose", last(x), last(w), b, group=group, order="NHWC", **arguments)
    np.testing.assert_allclose(nhwc, last(y), rtol=1e-10)
    found = compute("ConvTranspose", x, w, group=group, **arguments)
    np.testing.assert_allclose(found, transposed(x, w, None, *rest), rtol=1e-10)
    assert gradcheck(made("ConvTranspose", group=group, **arguments), x.shape, w.shape, b.shape)


@pytest.mark.parametrize("legacy", [1, 2])
def test_legacy_pads_mean_no_padding(legacy):
    x, w = numbers(1, 2, 3, 4), numbers(2, 3, 3, 3, seed=2)
    found = compute("ConvTranspose", x, w, kernel=3, stride_h=2, stride_w=1, adj=1, legacy_pad=legacy)
    np.testing.assert_allclose(found, transposed(x, w, None, (2, 1), adj=(1, 1)), rtol=1e-10)


def test_spellings_cost_receptive_field_and_traces():
    layer = made("ConvTranspose", kernel_h=4, kernel_w=3, stride=2, adj_h=1, adj_w=0, pad=1, dilation=2)
    assert (layer.kernel, layer.stride, layer.adj, layer.pads) == ((4, 3), (2, 2), (1, 0), (1, 1, 1, 1))
    shapes = (2, 4, 3, 5), (4, 6, 4, 3), (6,)
    assert layer.infer(shapes, 1) == ((2, 6, 7, 9),)
    assert layer.cost(shapes, ((2, 6, 7, 9),)) == Cost(macs=2 * 4 * 15 * 6 * 12, operations=2 * 6 * 63)
    fields = ((ReceptiveField(), ReceptiveField()),)
    assert layer.receptive_field(fields, shapes[:1], (2, 6, 7, 9)) == (ReceptiveField(2, 1, 2),) * 2
    traces(made("ConvTranspose", kernel=3, pads=[0, 1, 1, 0]), values(2, 4, 3, 5), values(4, 6, 3, 3), values(6))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({}, "E101", "requires a kernel"),
        ({"kernel": 0}, "E103", "`kernel` is 0"),
        ({"kernels": [3]}, "E101", "1 numbers for `kernel`, expected 2"),
        ({"kernel": 3, "stride": 0}, "E103", "`stride` is 0"),
        ({"kernel": 3, "adj": 2}, "E103", "`adj` of 2 is greater than the stride of 1"),
        ({"kernel": 3, "adj": -1}, "E103", "`adj` is -1"),
        ({"kernel": 3, "pad": -1}, "E103", "`pad` is -1"),
        ({"kernel": 3, "legacy_pad": 3}, "E103", "does not support `legacy_pad: 3`"),
        ({"kernel": 3, "legacy_pad": 1, "pad": 0}, "E101", "determines the padding"),
    ],
)
def test_refused_arguments(arguments, code, text):
    with raises(code, text):
        made("ConvTranspose", **arguments)


@pytest.mark.parametrize(
    ("shapes", "arguments", "text"),
    [
        (((1, 3, 8), (3, 3, 3)), {"kernel": 3}, "expected 4 axes"),
        (((1, 3, 8, 8), (4, 3, 3, 3)), {"kernel": 3}, "3 channels, but the filter \\[4,3,3,3\\] expects 4"),
        (((1, 3, 8, 8), (3, 3, 3, 2)), {"kernel": 3}, "but the kernel is"),
        (((1, 3, 8, 8), (3, 2, 3, 3)), {"kernel": 3, "group": 2}, "3 channels cannot be divided into 2 groups"),
        (((1, 4, 8, 8), (4, 2, 3, 3), (2,)), {"kernel": 3, "group": 2}, "input 2 .* expected \\[4\\]"),
        (((1, 4, 1, 8), (4, 2, 2, 2)), {"kernel": 2, "pad": 1}, "not all positive"),
    ],
)
def test_refused_shapes(shapes, arguments, text):
    with raises("E102", text):
        made("ConvTranspose", **arguments).infer(shapes, 1)
