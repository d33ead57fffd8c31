"""Accum, compared with its positions and weights computed in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow.accum import Accum
from tests.layers.case import Case, Source
from tests.layers.contract import raises, resizes, round_trip, values
from tests.layers.harness import run

CASES = [
    Case(Accum(), ((2, 3, 4, 5), (2, 1, 7, 3)), ((1, 3, 3, 6), (1, 1, 4, 2)), source=Source(places_lost=True)),
    Case(
        Accum(have_reference=True),
        ((2, 3, 4, 5), (2, 1, 7, 3)),
        ((1, 3, 3, 6), (1, 1, 4, 2)),
        held=(1,),
        source=Source(places_lost=True, rounded=(1,)),
    ),
]


def enlarged(x, height, width):
    n, c, h, w = x.shape
    top = np.zeros((n, c, height, width))
    for i in range(height):
        for j in range(width):
            y, z = i * (h - 1) / (height - 1), j * (w - 1) / (width - 1)
            above, left = int(y), int(z)
            below, right = min(above + 1, h - 1), min(left + 1, w - 1)
            a, b = y - above, z - left
            top[:, :, i, j] = (1 - a) * ((1 - b) * x[:, :, above, left] + b * x[:, :, above, right])
            top[:, :, i, j] += a * ((1 - b) * x[:, :, below, left] + b * x[:, :, below, right])
    return top


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (Accum(), (7, 6)),
        (Accum(top_height=9, top_width=8), (9, 8)),
        (Accum(top_height=9, top_width=6), (7, 6)),
        (Accum(size_divisible_by=4), (8, 8)),
        (Accum(size_divisible_by=7), (7, 6)),
    ],
)
def test_every_bottom_is_enlarged(layer, size):
    bottoms = values(2, 3, 4, 6).numpy(), values(2, 2, 7, 5, seed=4).numpy()
    (found,) = run(layer, *bottoms)
    np.testing.assert_allclose(found, np.concatenate([enlarged(x, *size) for x in bottoms], 1), rtol=1e-12, atol=1e-12)


def test_a_reference_also_shrinks():
    x, reference = values(2, 3, 7, 6).numpy(), np.zeros((2, 5, 3, 4))
    (found,) = run(Accum(have_reference=True), x, reference)
    np.testing.assert_allclose(found, enlarged(x, 3, 4), rtol=1e-12, atol=1e-12)


def test_unknown_extents():
    assert Accum().infer(((2, 3, UNKNOWN, 5), (2, UNKNOWN, 7, 6)), 1) == ((2, UNKNOWN, UNKNOWN, UNKNOWN),)
    assert Accum(have_reference=True).infer(((2, 3, UNKNOWN, 5), (2, 1, 7, 6)), 1) == ((2, 3, 7, 6),)


def test_errors():
    with raises("E102", "different numbers of items"):
        Accum().infer(((2, 3, 4, 5), (1, 3, 4, 5)), 1)
    with raises("E102", "at least 2 bottoms"):
        Accum(have_reference=True).infer(((2, 3, 4, 5),), 1)
    with raises("E102", "4 axes"):
        Accum().infer(((2, 3, 4),), 1)


def test_file_and_sizes():
    round_trip("Accum", top_height=5, top_width=7, have_reference=True)
    resizes(Accum(), (values(2, 3, 4, 5), values(2, 1, 6, 2)), (values(1, 3, 2, 7), values(1, 1, 9, 3)))
