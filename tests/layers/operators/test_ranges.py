"""Range, LengthsRangeFill."""

from __future__ import annotations

import numpy as np
import pytest

from tests.layers.operators.single import ints, raises, reals, run


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize(
    "numbers", [(5,), (2, 5), (2, 11, 3), (2, 12, 3), (5, 2), (-3, 3, 2), (0, 0), (5, -1, -2), (0, 9, -1)]
)
def test_range(numbers, dtype):
    found = run("Range", *(np.array([number], dtype) for number in numbers))
    np.testing.assert_array_equal(found, np.arange(*numbers, dtype=dtype))
    assert found.dtype == dtype


def test_integers_with_a_negative_step_end_early():
    """`length * step < diff` is never true of a negative step, so that the last number is missing."""
    assert run("Range", ints(0), ints(-9), ints(-2)).tolist() == [0, -2, -4, -6]
    assert run("Range", *(np.array(x, np.float32) for x in (0, -9, -2))).tolist() == [0, -2, -4, -6, -8]


def test_range_refuses():
    with raises("E301", "step of 0"):
        run("Range", ints(0), ints(1), ints(0))
    with raises("E102", "one element"):
        run("Range", ints(0, 1))
    with raises("E107", "one type"):
        run("Range", ints(0), reals(1))


def test_lengths():
    assert run("LengthsRangeFill", ints(2, 0, 3)).tolist() == [0, 1, 0, 1, 2]
    assert run("LengthsRangeFill", ints()).shape == (0,)
    with raises("E301", "negative"):
        run("LengthsRangeFill", ints(2, -1))
    with raises("E102", "1 axes"):
        run("LengthsRangeFill", ints(1).reshape(1, 1))
    with raises("E107"):
        run("LengthsRangeFill", ints(1, dtype=np.int64))
