"""The order in which C++'s `std::sort` leaves equal values, as implemented in GCC's library (introsort).

Caffe's forks sort detections with it, so that this order decides which of equal scores comes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT = 16
"""Ranges of at most this length are sorted by insertion."""


def descending_order(values: Sequence[float]) -> list[int]:
    """Return the positions of the values in descending order.

    >>> descending_order([1.0, 3.0, 2.0, 3.0])
    [1, 3, 2, 0]
    >>> descending_order([1.0] * 17)[:4]
    [8, 16, 15, 14]
    """
    order = list(range(len(values)))
    if len(set(values)) == len(values):
        return sorted(order, key=lambda i: -values[i])
    _partition(order, values, 0, len(values), 2 * (len(values).bit_length() - 1))
    _insert(order, values)
    return order


def _partition(order: list[int], values: Sequence[float], first: int, last: int, depth: int) -> None:
    """Move larger values before smaller ones, until no range is longer than SHORT."""
    while last - first > SHORT:
        if depth == 0:  # a heap sort there; reached by adverse values only
            order[first:last] = sorted(order[first:last], key=lambda i: -values[i])
            return
        depth -= 1
        _move_median(order, values, first, first + 1, first + (last - first) // 2, last - 1)
        cut = _split(order, values, first + 1, last, values[order[first]])
        _partition(order, values, cut, last, depth)
        last = cut


def _move_median(order: list[int], values: Sequence[float], to: int, a: int, b: int, c: int) -> None:
    """Exchange the median of three values with the one at `to`."""
    x, y, z = (values[order[i]] for i in (a, b, c))
    if x > y:
        median = b if y > z else c if x > z else a
    elif x > z:
        median = a
    else:
        median = c if y > z else b
    order[to], order[median] = order[median], order[to]


def _split(order: list[int], values: Sequence[float], first: int, last: int, pivot: float) -> int:
    """Exchange values that are on the wrong side of the pivot; return where the second part begins."""
    while True:
        while values[order[first]] > pivot:
            first += 1
        last -= 1
        while pivot > values[order[last]]:
            last -= 1
        if first >= last:
            return first
        order[first], order[last] = order[last], order[first]
        first += 1


def _insert(order: list[int], values: Sequence[float]) -> None:
    """Sort by insertion, in which equal values keep their order."""
    for i in range(1, len(order)):
        moved, place = order[i], i
        while place and values[moved] > values[order[place - 1]]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = moved
