"""NegReLU and NegSquare."""

from __future__ import annotations

import numpy as np
import pytest

from netc.layers.optical_flow.neg_relu import NegReLU, NegSquare
from tests.layers.case import Case, Source
from tests.layers.contract import gradient, round_trip, values
from tests.layers.harness import run

SHAPES = ((2, 3, 5),), ((4, 3, 2, 3),)
READS = Source(in_place=True, reads_top_in_place="sign")
CASES = [
    Case(NegReLU(), *SHAPES, source=READS),
    Case(NegReLU(0.25), *SHAPES, source=READS),
    Case(NegReLU(-0.5), *SHAPES, source=Source(reads_top_in_place="sign")),
    Case(NegSquare(), *SHAPES, source=Source()),
]


@pytest.mark.parametrize("slope", [0.0, 0.2, -1.5])
def test_neg_relu(slope):
    layer = round_trip("NegReLU", negative_slope=slope)
    x = values(3, 4).numpy()
    x[0, 0] = 0
    np.testing.assert_allclose(run(layer, x)[0], np.minimum(x, 0) + slope * np.maximum(x, 0))
    np.testing.assert_allclose(gradient(layer, x), (x < 0) + slope * (x >= 0))


def test_neg_square():
    x = values(3, 4).numpy()
    np.testing.assert_allclose(run(NegSquare(), x)[0], -(x**2))
    np.testing.assert_allclose(gradient(NegSquare(), x), -2 * x)
