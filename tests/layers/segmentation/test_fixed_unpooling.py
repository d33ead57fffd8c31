import math

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.fixed_unpooling import UnPooling
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, values
from tests.layers.harness import layer_of, module_of, shapes_of

SOURCE = Source()
PLANES = ((2, 3, 4, 5),), ((3, 3, 5, 2),)
CASES = [
    Case(UnPooling((3, 3), (2, 2), (1, 1)), ((2, 3, 4, 5), (2, 1, 9, 10)), ((1, 3, 5, 3), (1, 1, 9, 7)), source=SOURCE),
    Case(UnPooling((3, 2), (2, 1), unpool="DIV"), *PLANES, source=SOURCE),
    Case(UnPooling((3, 3), (2, 2), (1, 1), unpool="REP"), *PLANES, source=SOURCE),
]
REQUIRED = {"UnPooling": "out_kernel_size: 2"}
PAIRS = {"out_kernel_h": 3, "out_kernel_w": 4, "out_stride_h": 2, "out_stride_w": 3, "out_pad_h": 1, "out_pad_w": 2}
WHOLE = {f"unpooling_param.{name}": {"unpooling_param": PAIRS} for name in PAIRS}
WHOLE["UnPooling unpooling_param.unpool"] = {"unpooling_param": {"out_kernel_size": 2, "unpool": "REP"}}


def transcription(x, windows, unpool):
    """The top by the loops of the layer's code."""
    n, c, h, w = x.shape
    (kh, sh, ph), (kw, sw, pw) = windows
    height, width = (h - 1) * sh - 2 * ph + kh, (w - 1) * sw - 2 * pw + kw
    top, mask = np.zeros((n, c, height, width)), np.zeros((height, width))
    for i, j in np.ndindex(h, w):
        mask[
            max(i * sh - ph, 0) : min(i * sh - ph + kh, height), max(j * sw - pw, 0) : min(j * sw - pw + kw, width)
        ] += 1
    for i, j in np.ndindex(h, w):
        u, v = i * sh - ph, j * sw - pw
        if unpool == "FIXED":
            middle = [int((2 * start + k - 1) / 2) for start, k in ((u, kh), (v, kw))]
            top[:, :, min(max(middle[0], 0), height - 1), min(max(middle[1], 0), width - 1)] = x[:, :, i, j]
            continue
        size = (min(u + kh, height + ph) - u) * (min(v + kw, width + pw) - v) if unpool == "DIV" else 1
        for a in range(max(u, 0), min(u + kh, height)):
            for b in range(max(v, 0), min(v + kw, width)):
                top[:, :, a, b] += x[:, :, i, j] / size / mask[a, b]
    return top


@pytest.mark.parametrize("unpool", ["FIXED", "DIV", "REP"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"),
    [((2, 2), (2, 2), (0, 0)), ((3, 4), (2, 1), (1, 2)), ((2, 3), (3, 2), (0, 1)), ((5, 5), (1, 1), (4, 4))],
)
def test_forward(unpool, kernel, stride, pad):
    x = values(2, 3, 9, 10)
    layer = UnPooling(kernel, stride, pad, unpool)
    found = module_of(layer, (x.shape,))(x)
    np.testing.assert_allclose(found, transcription(x.numpy(), list(zip(kernel, stride, pad)), unpool), rtol=1e-9)
    assert tuple(found.shape) == layer.infer((tuple(x.shape),), 1)[0]


@pytest.mark.parametrize("sizes", [((4, 5), (8, 10)), ((4, 5), (9, 12)), ((1, 3), (6, 8)), ((5, 7), (5, 7))])
def test_windows_that_fit_a_second_bottom(sizes):
    x, like = values(1, 2, *sizes[0]), values(1, 1, *sizes[1])
    windows = []
    for extent, wanted in zip(*sizes):
        kernel = stride = math.ceil(wanted / extent)
        stride = 1 if stride == wanted else stride
        windows.append((kernel, stride, math.floor(((extent - 1) * stride + kernel - wanted) / 2)))
    for unpool in ("FIXED", "REP"):
        found = module_of(UnPooling((9, 9), unpool=unpool), shapes_of((x, like)))(x, like)
        np.testing.assert_allclose(found, transcription(x.numpy(), windows, unpool), rtol=1e-9)


def test_files_and_shapes():
    layer = round_trip("UnPooling", out_kernel_size=3, out_stride_h=2, out_stride_w=1, unpool="REP")
    assert layer == UnPooling((3, 3), (2, 1), unpool="REP")
    assert repr(layer.infer(((1, 2, UNKNOWN, 5),), 1)) == "((1, 2, ?, 7),)"
    assert repr(layer.infer(((1, 2, UNKNOWN, 5), (1, 2, 9, 11)), 1)) == "((1, 2, ?, 11),)"
    assert UnPooling((2, 2)).cost(((1, 2, 3, 4),), ((1, 2, 4, 5),)).macs == 0
    with raises("E102", "expected a bottom with 4 axes"):
        layer.infer(((1, 2, 3),), 1)
    with raises("E102", "padding of 3 for a window of 3"):
        UnPooling((3, 3), pad=(3, 0)).infer(((1, 2, 3, 4),), 1)
    with raises("E102", "would have an extent of 0"):
        UnPooling((4, 4), pad=(2, 0)).infer(((1, 2, 1, 4),), 1)


@pytest.mark.parametrize(
    ("code", "text", "message"),
    [
        ("E101", "`out_kernel_size` is missing", {}),
        ("E101", "exclude each other", {"out_kernel_size": 2, "out_kernel_h": 2}),
        ("E103", "`out_stride` is 0", {"out_kernel_size": 2, "out_stride": 0}),
        ("E104", "`out_pad` must be at most", {"out_kernel_size": 2, "out_pad": 99999}),
        ("E103", "`unpool` is MAX", {"out_kernel_size": 2, "unpool": "MAX"}),
    ],
)
def test_parameters(code, text, message):
    with raises(code, text):
        layer_of("UnPooling", {"unpooling_param": message})
