"""RingPad, compared with NumPy's padding."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.layers.detection.ring_pad import RingPad
from tests.layers.case import Case, Source
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.harness import run

CASES = [Case(RingPad(3, 2), ((2, 3, 4, 5),), ((1, 2, 3, 2),), source=Source(places_lost=True))]


@pytest.mark.parametrize(("axis", "pad"), [(3, 1), (3, 5), (2, 2), (-1, 3), (0, 2)])
def test_each_end_continues_at_the_other(axis, pad):
    x = values(2, 3, 4, 5).numpy()
    widths = [(0, 0)] * 4
    widths[axis] = (pad, pad)
    np.testing.assert_array_equal(run(RingPad(axis, pad), x)[0], np.pad(x, widths, mode="wrap"))


def test_files_and_shapes():
    assert round_trip("RingPad", axis=3, pad=2) == RingPad(3, 2)
    assert RingPad(3, 2).infer(((1, 3, 4, UNKNOWN),), 1) == ((1, 3, 4, UNKNOWN),)
    with raises("E102", "is shorter than `pad` 6"):
        RingPad(3, 6).infer(((1, 3, 4, 5),), 1)
    with raises("E103", "`pad` is 0"):
        RingPad(3, 0).infer(((1, 3, 4, 5),), 1)


@pytest.mark.slow
def test_it_is_traced():
    traces(RingPad(3, 2), values(2, 3, 4, 5))
