"""ImResize, compared with the original's interpolation pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.pose.imresize import ImResize
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.harness import gradcheck, layer_of, run

CASES = [
    Case(
        ImResize(factor=2.5, start_scale=0.9, scale_gap=0.2),
        ((2, 3, 12, 14),),
        ((1, 2, 10, 16),),
        source=Source(places_lost=True),
    )
]
WHOLE = {
    f"imresize_param.target_spatial_{name}": {"imresize_param": {"target_spatial_width": 5, "target_spatial_height": 6}}
    for name in ("width", "height")
}


def cubic(values, d):
    a, b, c, e = values
    return (
        (-0.5 * a + 1.5 * b - 1.5 * c + 0.5 * e) * d**3
        + (a - 2.5 * b + 2 * c - 0.5 * e) * d**2
        + (-0.5 * a + 0.5 * c) * d
        + b
    )


def neighbors(x, middle, size, border):
    at = (x - (size / middle / 2 - 0.5)) * (middle / size)
    first = max(int(at + 1e-5), 0)
    before = first if first - 1 < 0 else first - 1
    after = min(first + 1, middle - 1)
    last = min(after + 1, middle - 1)
    return [border + one for one in (before, first, after, last)], at - first


def expected(layer, maps, height, width):
    found = np.zeros((1, maps.shape[1], height, width))
    for n, item in enumerate(maps):
        missing = 1 - layer.start_scale + n * layer.scale_gap
        borders = [math.floor(extent // 2 * missing) for extent in item.shape[1:]]
        middles = [extent - 2 * border for extent, border in zip(item.shape[1:], borders)]
        for c, y, x in np.ndindex(*found.shape[1:]):
            rows, dy = neighbors(y, middles[0], height, borders[0])
            columns, dx = neighbors(x, middles[1], width, borders[1])
            found[0, c, y, x] += cubic([cubic(item[c, row, columns], dx) for row in rows], dy) / len(maps)
    return found


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (ImResize(factor=2.0), (16, 20)),
        (ImResize(factor=2.5, start_scale=0.8, scale_gap=0.15), (20, 25)),
        (ImResize(target_spatial_width=17, target_spatial_height=11, scale_gap=0.25), (11, 17)),
    ],
)
def test_bicubic_interpolation(layer, size):
    maps = np.random.default_rng(1).normal(size=(3, 2, 8, 10))
    (top,) = run(layer, maps)
    np.testing.assert_allclose(top, expected(layer, maps, *size), rtol=1e-9, atol=1e-9)


def test_gradient():
    gradcheck(ImResize(factor=1.5, start_scale=0.8, scale_gap=0.15), (2, 2, 5, 6))


def test_constant_maps_keep_their_value():
    (top,) = run(ImResize(factor=3.0), np.full((2, 1, 6, 9), 2.5))
    np.testing.assert_allclose(top, np.full((1, 1, 18, 27), 2.5))


def test_shapes():
    assert repr(ImResize(factor=8.0).infer(((2, 57, UNKNOWN, 82),), 1)) == "((1, 57, ?, 656),)"
    layer = ImResize(target_spatial_width=9, target_spatial_height=4)
    assert repr(layer.infer(((2, 57, UNKNOWN, 82),), 1)) == "((1, 57, 4, 9),)"
    assert layer_of("ImResize", {"imresize_param": {"factor": 2.0}}) == ImResize(factor=2.0)
    for made, shape, code, text in [
        (ImResize(), (1, 1, 4, 4), "E103", "`factor`, or both target sizes, must be positive"),
        (ImResize(factor=float("nan")), (1, 1, 4, 4), "E103", "`factor` must be at most"),
        (ImResize(factor=1e3), (1, 1, 400, 400), "E104", "larger than the limit"),
        (ImResize(factor=2.0), (1, 4, 4), "E102", "expected maps"),
        (ImResize(factor=2.0, scale_gap=0.6), (3, 1, 8, 8), "E103", "leaves no part of 8 pixels"),
    ]:
        with raises(code, text):
            made.infer((shape,), 1)
