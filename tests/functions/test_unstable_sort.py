"""The order of equal values, compared with lists that a program compiled by GCC printed."""

from __future__ import annotations

import random

import pytest

from netc.functions.unstable_sort import descending_order

PRINTED = {
    1: [0],
    17: [8, 16, 15, 14, 13, 12, 11, 10, 9, 0, 7, 6, 5, 4, 3, 2, 1],
}
"""`std::sort` of equal values, by their number."""


@pytest.mark.parametrize("count", PRINTED)
def test_equal_values_are_in_the_order_of_the_library(count):
    assert descending_order([0.5] * count) == PRINTED[count]


def test_values_are_in_descending_order():
    generator = random.Random(3)
    for count in (2, 16, 17, 200, 1000):
        values = [float(generator.randrange(count)) for _ in range(count)]
        order = descending_order(values)
        assert sorted(order) == list(range(count))
        assert [values[i] for i in order] == sorted(values, reverse=True)


def test_short_ranges_keep_the_order_of_equal_values():
    assert descending_order([1.0, 2.0, 1.0, 2.0]) == [1, 3, 0, 2]
