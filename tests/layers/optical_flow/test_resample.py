"""Resample and Downsample, compared with transcriptions of FlowNet2's kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow.resample import Downsample, Resample
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_from, run

TWO = ((1, 2, 5, 6), (1, 1, 3, 8)), ((2, 1, 7, 4), (1, 3, 4, 4))
LOST = Source(places_lost=True)
CASES = [
    Case(Resample(), *TWO, held=(1,), source=LOST),
    Case(Resample(method="CUBIC", antialias=False), *TWO, held=(1,), source=LOST),
    Case(Resample(method="NEAREST"), *TWO, held=(1,), source=LOST),
    Case(Downsample(), *TWO, held=(1,), source=LOST),
]


def keys(x):
    x = abs(x)
    if x <= 1:
        return x * x * (1.5 * x - 2.5) + 1
    return x * (x * (-0.5 * x + 2.5) - 4) + 2 if x < 2 else 0


def triangle(x):
    return max(0, 1 - abs(x))


def away(x):
    """C's round."""
    return math.copysign(math.floor(abs(x) + 0.5), x)


def resampled(x, height, width, method, antialias):
    n, c, h, w = x.shape
    top = np.zeros((n, c, height, width))
    number = np.float32 if method == "NEAREST" else float  # halves depend on it
    fx, fy = number(w / width), number(h / height)
    antialias = antialias and (fx > 1 or fy > 1)
    ax, ay = (1 / fx, 1 / fy) if antialias else (1, 1)
    size = 4 if method == "CUBIC" else 2
    rx, ry = (2 if f < 1 else math.ceil(size / a) for f, a in ((fx, ax), (fy, ay)))
    weigh = keys if method == "CUBIC" else triangle
    for y, z in np.ndindex(height, width):
        x_in, y_in = z * fx + fy / 2 - 0.5, y * fy + fx / 2 - 0.5
        x_round, y_round = int(away(x_in)), int(away(y_in))
        if method == "NEAREST":
            top[:, :, y, z] = x[:, :, min(max(y_round, 0), h - 1), min(max(x_round, 0), w - 1)]
            continue
        total, weights = np.zeros((n, c)), 0
        for row in range(max(y_round - ry, 0), min(y_round + ry, h - 1) + 1):
            for column in range(max(x_round - rx, 0), min(x_round + rx, w - 1) + 1):
                weight = ax * weigh(ax * (x_in - column)) * ay * weigh(ay * (y_in - row))
                total, weights = total + weight * x[:, :, row, column], weights + weight
        top[:, :, y, z] = total / weights if weights else 0
    return top


def downsampled(x, height, width):
    n, c, h, w = x.shape
    top = np.zeros((n, c, height, width))
    scale_y, scale_x = (h - 1) / (height - 1), (w - 1) / (width - 1)
    for i, k, y, z in np.ndindex(*top.shape):
        bot_y, bot_x = y / (height - 1) * (h - 1), z / (width - 1) * (w - 1)
        value = weights = of_nan = 0.0
        for row in range(max(round(bot_y) - math.ceil(scale_y), 0), min(round(bot_y) + math.ceil(scale_y), h - 1) + 1):
            for column in range(round(bot_x) - math.ceil(scale_x), round(bot_x) + math.ceil(scale_x) + 1):
                if not 0 <= column < w:
                    continue
                weight = max(0, 1 - abs(column - bot_x) / scale_x) * max(0, 1 - abs(row - bot_y) / scale_y)
                if np.isnan(x[i, k, row, column]):
                    of_nan += weight
                else:
                    value, weights = value + weight * x[i, k, row, column], weights + weight
        top[i, k, y, z] = np.nan if not weights or of_nan / weights > 0.5 else value / weights
    return top


@pytest.mark.parametrize("method", ["NEAREST", "LINEAR", "CUBIC"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(14, 18), (3, 4), (5, 20), (7, 9), (20, 2)])
def test_resample(method, antialias, size):
    x = values(2, 3, 7, 9).numpy()
    layer = round_trip("Resample", height=size[0], width=size[1], type=method, antialias=antialias)
    np.testing.assert_allclose(run(layer, x)[0], resampled(x, *size, method, antialias), rtol=1e-6, atol=1e-9)


def test_the_size_of_a_second_bottom_and_a_factor():
    x = values(2, 3, 4, 5).numpy()
    expected = resampled(x, 8, 10, "LINEAR", True)
    np.testing.assert_allclose(run(Resample(1, 1), x, np.zeros((1, 1, 8, 10)))[0], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(run(layer_from("Resample", factor=2.0), x)[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [(3, 4), (6, 9), (2, 2), (4, 20)])
def test_downsample_without_numbers_that_are_none(size):
    x = values(2, 2, 7, 9).numpy()
    x[0, 0, :4, :3] = x[1, 1, 2, 5] = x[0, 1] = np.nan
    (found,) = run(round_trip("Downsample", top_height=size[0], top_width=size[1]), x)
    np.testing.assert_allclose(found, downsampled(x, *size), rtol=1e-9, atol=1e-12)


def test_downsample_of_the_same_size():
    x = values(2, 2, 7, 9)
    x[0, 0, 0, 0] = float("nan")
    np.testing.assert_array_equal(run(Downsample(7, 9), x)[0], x.numpy())


def test_shapes():
    assert Resample(3, 4).infer(((2, 3, UNKNOWN, 5),), 1) == ((2, 3, 3, 4),)
    assert Resample(factor=2).infer(((2, 3, UNKNOWN, 5),), 1) == ((2, 3, UNKNOWN, 10),)
    assert Downsample().infer(((2, 3, 8, 9), (1, 1, UNKNOWN, 3)), 1) == ((2, 3, UNKNOWN, 3),)
    with raises("E102", "the size of the top is 0 x 0"):
        Resample().infer(((2, 3, 4, 5),), 1)
    with raises("E102", "cannot resize an extent of 4 to 1"):
        Downsample(1, 3).infer(((2, 3, 4, 5),), 1)
    with raises("E103", "no `AREA` interpolation"):
        layer_from("Resample", type="AREA", height=1, width=1)
    with raises("E103", "`factor` is 0.0"):
        layer_from("Resample", factor=0.0)


@pytest.mark.parametrize("layer", [Resample(8, 5), Resample(8, 5, "NEAREST"), Downsample(3, 4)], ids=str)
def test_sizes_and_devices(layer):
    resizes(layer, (values(1, 2, 7, 9),), (values(2, 1, 8, 12),))
    assert layer.forward((torch.empty(1, 2, 7, 9, device="meta"),), (), None).shape[:2] == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [Resample(8, 5), Resample(8, 5, "NEAREST"), Downsample(3, 4)], ids=str)
def test_tracing(layer):
    traces(layer, values(1, 2, 7, 9))
