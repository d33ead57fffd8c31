from __future__ import annotations

import numpy as np

from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.spatial_product import SpatialProduct
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.harness import run

CASES = [
    Case(SpatialProduct(), ((2, 3, 2, 4), (2, 1, 2, 4)), ((1, 2, 3, 3), (1, 1, 3, 3)), source=Source()),
]


def test_every_channel_times_the_plane():
    x, plane = values(2, 3, 4, 5).numpy(), values(2, 1, 4, 5).numpy()
    np.testing.assert_array_equal(run(round_trip("SpatialProduct"), x, plane)[0], x * plane)
    traces(SpatialProduct(), values(1, 2, 3, 4), values(1, 1, 3, 4))


def test_mismatches():
    unknown = ((2, 3, UNKNOWN, 4), (2, UNKNOWN, 5, 4))
    assert repr(SpatialProduct().infer(unknown, 1)) == "((2, 3, ?, 4),)"
    for bottoms in (((2, 3, 4, 5), (2, 2, 4, 5)), ((2, 3, 4), (2, 1, 4)), ((2, 3, 4, 5), (1, 1, 4, 5))):
        with raises("E102", r"expected \(n, c, h, w\) and \(n, 1, h, w\)"):
            SpatialProduct().infer(bottoms, 1)
