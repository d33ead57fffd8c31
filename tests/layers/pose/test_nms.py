"""Nms, compared with the steps of the original."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.pose.nms import Nms
from tests.layers.case import Case, Source
from tests.layers.contract import raises
from tests.layers.harness import layer_of, run

CASES = [
    Case(
        Nms(-1.0, 4, 2),
        ((2, 3, 9, 8),),
        ((1, 4, 7, 10),),
        source=Source(places_lost=True),
    )
]
REQUIRED = {"Nms": "max_peaks: 3 num_parts: 2"}


def expected(layer, maps):
    n, _, height, width = maps.shape
    found = np.zeros((n, layer.num_parts, layer.max_peaks + 1, 3))
    for item in range(n):
        for part in range(layer.num_parts):
            own, peaks = maps[item, part], []
            for y in range(1, height - 1):
                for x in range(1, width - 1):
                    near = np.delete(own[y - 1 : y + 2, x - 1 : x + 2].ravel(), 4)
                    if own[y, x] > layer.threshold and (own[y, x] > near).all():
                        peaks.append((x, y))
            found[item, part, 0, 0] = len(peaks)
            for row, (x, y) in enumerate(peaks[: layer.max_peaks], 1):
                sums = np.zeros(3)
                for v in range(max(1, y - 3), min(height, y + 4)):
                    for u in range(max(1, x - 3), min(width, x + 4)):
                        sums += np.array([u, v, 1]) * max(own[v, u], 0)
                found[item, part, row] = (*sums[:2] / sums[2], own[y, x])
    return found


@pytest.mark.parametrize("layer", [Nms(0.2, 9, 3), Nms(0.5, 2, 1), Nms(5.0, 3, 2)])
def test_peaks(layer):
    maps = np.random.default_rng(0).normal(size=(2, 3, 14, 11))
    (top,) = run(layer, maps)
    wanted = expected(layer, maps)
    np.testing.assert_allclose(top, wanted, rtol=1e-9)
    assert (wanted[..., 0, 0] > layer.max_peaks).any() or layer.threshold != 0.5


def test_small_maps_have_no_peaks():
    (top,) = run(Nms(0.0, 9, 1), np.ones((1, 1, 2, 3)))
    assert top.shape == (1, 1, 10, 3)
    assert not top.any()


def test_shapes():
    assert repr(Nms(0.1, 64, 18).infer(((1, UNKNOWN, UNKNOWN, 9),), 1)) == "((1, 18, 65, 3),)"
    assert layer_of("Nms", {"nms_param": {"threshold": 0.5, "max_peaks": 3, "num_parts": 2}}) == Nms(0.5, 3, 2)
    for layer, shape, code, text in [
        (Nms(0.1, 3), (1, 1, 4, 4), "E103", "`num_parts` must be positive"),
        (Nms(0.1, 0, 1), (1, 1, 4, 4), "E103", "`max_peaks` must be positive"),
        (Nms(0.1, 1 << 20, 1), (1, 1, 4, 4), "E104", "`max_peaks` is at most"),
        (Nms(0.1, 3, 2), (1, 1, 4, 4), "E102", "expected at least 2 maps"),
    ]:
        with raises(code, text):
            layer.infer((shape,), 1)
