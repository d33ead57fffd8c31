"""Unpooling, compared with its loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.unpooling import Unpooling
from tests.layers.case import Case, Source
from tests.layers.contract import gradient, raises, resizes, round_trip, traces, values
from tests.layers.harness import gradcheck, layer_from, run

OWN = "of elements with one position, all get the top's gradient; TILE's is that of AVE"
SOURCE = Source(places_lost=True, own_gradient=OWN)
REQUIRED = {"Unpooling": "kernel_size: 2"}
PAIRS = {"kernel_h": 3, "kernel_w": 2, "stride_h": 3, "stride_w": 2, "unpool_h": 9, "unpool_w": 8}
WHOLE = {
    **{f"unpooling_param.{name}": {"unpooling_param": PAIRS} for name in PAIRS},
}
CASES = [
    Case(Unpooling("MAX", (2, 2), (2, 2)), ((1, 2, 2, 3),) * 2, ((2, 2, 3, 2),) * 2, integers=(1,), below=9,
         source=SOURCE),
    Case(Unpooling("MAX", (2, 2), (2, 2), (3, 5)), ((1, 2, 2, 3),), ((2, 2, 3, 2),), source=SOURCE),
    Case(Unpooling("AVE", (3, 2), (2, 1)), ((1, 2, 2, 3),), ((2, 2, 3, 2),), source=Source(places_lost=True)),
    Case(Unpooling("TILE", (3, 2), (2, 1)), ((1, 2, 2, 3),), ((2, 2, 3, 2),), source=SOURCE),
]  # fmt: skip


def windows(layer, x, size):
    """For each element of a plane, the slices of its window and the number of its elements."""
    for h, w in np.ndindex(*x.shape[2:]):
        ends = [min(i * s + k, e) for i, s, k, e in zip((h, w), layer.stride, layer.kernel, size)]
        starts = [i * s for i, s in zip((h, w), layer.stride)]
        yield h, w, starts, ends, (ends[0] - starts[0]) * (ends[1] - starts[1])


def unpooled(layer, x, size, mask=None):
    top = np.zeros((*x.shape[:2], *size))
    for h, w, starts, ends, count in windows(layer, x, size):
        if layer.unpool == "MAX" and mask is None:
            top[:, :, min(starts[0], size[0] - 1), min(starts[1], size[1] - 1)] = x[:, :, h, w]
        elif layer.unpool == "MAX":
            for n, c in np.ndindex(*x.shape[:2]):
                top[n, c].flat[int(mask[n, c, h, w])] = x[n, c, h, w]
        else:
            part = x[:, :, h, w, None, None] / (count if layer.unpool == "AVE" else 1)
            top[:, :, starts[0] : ends[0], starts[1] : ends[1]] += part
    return top


@pytest.mark.parametrize("unpool", ["MAX", "AVE", "TILE"])
@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"kernel_size": 2, "stride": 2, "unpool_size": 7}, (7, 7)),
        ({"kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1, "unpool_h": 6, "unpool_w": 5}, (6, 5)),
        ({"kernel_size": 3, "stride": 2}, (7, 9)),
        ({"kernel_size": 1}, (4, 5)),
    ],
)
def test_windows(unpool, fields, size):
    layer = round_trip("Unpooling", unpool=unpool, **fields)
    x = values(2, 3, 3, 4).numpy()
    (top,) = run(layer, x)
    assert top.shape[2:] == size
    np.testing.assert_allclose(top, unpooled(layer, x, size), rtol=1e-9)
    given = values(2, 3, *size, seed=8)
    expected = np.zeros_like(x)
    for h, w, starts, ends, count in windows(layer, x, size):
        part = given[:, :, starts[0] : ends[0], starts[1] : ends[1]]
        if unpool == "MAX":
            part = given[:, :, min(starts[0], size[0] - 1), min(starts[1], size[1] - 1)][..., None, None]
            count = 1
        expected[:, :, h, w] = part.sum((2, 3)) / count
    np.testing.assert_allclose(gradient(layer, x, given), expected, rtol=1e-9)


def test_positions_of_a_mask():
    layer = round_trip("Unpooling", kernel_size=2, stride=2, unpool_h=4, unpool_w=5)
    x = values(2, 3, 2, 2).numpy()
    mask = np.stack([np.random.default_rng(i).permutation(20)[:4].reshape(2, 2) for i in range(6)]).reshape(x.shape)
    np.testing.assert_array_equal(run(layer, x, mask.astype(float))[0], unpooled(layer, x, (4, 5), mask))
    assert gradcheck(layer, x.shape, x.shape, fixed={1: torch.tensor(mask)})


def test_sizes_and_traces():
    resizes(Unpooling("AVE", (2, 2), (2, 2)), (values(1, 2, 3, 4),), (values(2, 2, 2, 5),))
    traces(Unpooling("TILE", (2, 2), (2, 2)), values(1, 2, 3, 4))
    traces(Unpooling("MAX", (2, 2), (2, 2)), values(1, 2, 3, 4))
    assert repr(Unpooling("MAX", (2, 2), (2, 2)).infer(((1, 2, UNKNOWN, 3),), 1)) == "((1, 2, ?, 7),)"


@pytest.mark.parametrize(
    ("code", "text", "fields"),
    [
        ("E101", "`kernel_size` is missing", {}),
        ("E101", "`kernel_size` and `kernel_h`, `kernel_w` exclude each other", {"kernel_size": 2, "kernel_h": 2}),
        ("E101", "`unpool_size` and `unpool_h`", {"kernel_size": 2, "unpool_h": 2}),
        ("E103", "`stride` is 0", {"kernel_size": 2, "stride": 0}),
        ("E103", "`pad` is 1: only unpooling without padding", {"kernel_size": 2, "pad": 1}),
    ],
)
def test_invalid_fields(code, text, fields):
    with raises(code, text):
        layer_from("Unpooling", **fields)


def test_mismatches():
    with raises("E102", "expected 4 axes, got 3"):
        Unpooling().infer(((2, 3, 4),), 1)
    with raises("E102", "the mask .* has another shape"):
        Unpooling().infer(((1, 2, 3, 4), (1, 2, 3, 5)), 1)
