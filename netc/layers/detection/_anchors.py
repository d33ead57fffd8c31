"""Anchors of a region proposal network: boxes of several shapes and sizes around each position."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Anchor = tuple[float, float, float, float]


def half_up(x: float) -> int:
    """Round halves up, as PVANet's C++."""
    return int(x + 0.5)


def base_anchors(
    base: int, ratios: Sequence[float], scales: Sequence[float], rounded: Callable[[float], int] = round
) -> tuple[Anchor, ...]:
    """The anchors of the first position: for each ratio of height to width, a box of each scale.

    A base box of `base` pixels a side is given each ratio, with its sides `rounded` (by default halves to even, as
    NumPy), and then scaled.

    >>> base_anchors(16, (0.5, 1.0), (8.0,))
    ((-84.0, -40.0, 99.0, 55.0), (-56.0, -56.0, 71.0, 71.0))
    """
    center, found = (base - 1) / 2, []
    for ratio in ratios:
        width = rounded(math.sqrt(base * base / ratio))
        height = rounded(width * ratio)
        for scale in scales:
            w, h = (width * scale - 1) / 2, (height * scale - 1) / 2
            found.append((center - w, center - h, center + w, center + h))
    return tuple(found)
