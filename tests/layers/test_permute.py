"""Permute, compared with NumPy's transpose."""

from __future__ import annotations

import numpy as np
import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.layers.permute import Permute
from tests.layers.case import Case
from tests.layers.case import Source as Facts
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import run

CASES = [
    Case(Permute((0, 2, 3, 1)), ((2, 3, 4, 5),), ((1, 2, 3, 4),), source=Facts()),
    Case(Permute((2,)), ((2, 3, 4),), ((3, 4, 2),), source=Facts()),
]


@pytest.mark.parametrize("order", [(), (0, 2, 3, 1), (3, 2, 1, 0), (2,), (1, 3), (0, 1, 2, 3)])
def test_axes_that_are_not_named_follow_in_their_order(order):
    x = values(2, 3, 4, 5).numpy()
    full = (*order, *(axis for axis in range(4) if axis not in order))
    np.testing.assert_array_equal(run(Permute(order), x)[0], x.transpose(full))


def test_unknown_extents():
    assert Permute((0, 2, 3, 1)).infer(((UNKNOWN, 3, UNKNOWN, 5),), 1) == ((UNKNOWN, UNKNOWN, 5, 3),)


def test_file_sizes_and_cost():
    round_trip("Permute", order=[0, 2, 3, 1])
    resizes(Permute((1, 0, 2)), (values(2, 3, 4),), (values(3, 5, 2),))
    assert Permute().cost(((2, 3),), ((2, 3),)) == Cost()


@pytest.mark.slow
def test_traces():
    traces(Permute((0, 2, 3, 1)), values(2, 3, 4, 5))


@pytest.mark.parametrize(
    ("code", "text", "order"),
    [("E102", "axis 3 of a bottom with 3 axes", (0, 3)), ("E101", "`order` contains axis 1 twice", (1, 0, 1))],
)
def test_errors(code, text, order):
    with raises(code, text):
        Permute(order).infer(((2, 3, 4),), 1)
