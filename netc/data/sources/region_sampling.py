"""Regions of Fast R-CNN's batches, in NumPy: overlaps, codes, and random choice. The last pixel is inside a box."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def overlaps(boxes: Array, others: Array) -> Array:
    """Intersection over union of each box (n, 4) with each other one (m, 4).

    >>> overlaps(np.array([[0.0, 0, 9, 9]]), np.array([[0.0, 0, 9, 4], [20, 0, 29, 9]]))
    array([[0.5, 0. ]])
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (high - low + 1).clip(min=0).prod(2)
    areas = [(one[:, 2:] - one[:, :2] + 1).prod(1) for one in (boxes, others)]
    result: Array = common / (areas[0][:, None] + areas[1][None] - common)
    return result


def codes_of(boxes: Array, targets: Array) -> Array:
    """The codes (n, 4) that move boxes to their targets.

    >>> codes_of(np.array([[0.0, 0, 9, 9]]), np.array([[5.0, 0, 14, 9]]))
    array([[0.5, 0. , 0. , 0. ]])
    """
    sizes, others = (one[:, 2:] - one[:, :2] + 1 for one in (boxes, targets))
    moved = (targets[:, :2] + others / 2 - boxes[:, :2] - sizes / 2) / sizes
    return np.concatenate([moved, np.log(others / sizes)], 1)


def sampled(most: Array, layer: Any, count: int, random: np.random.Generator) -> tuple[Array, int]:
    """Which of the regions with these overlaps are drawn, those of objects first, and how many of these there are."""
    positive = np.flatnonzero(most >= layer.fg_thresh)
    negative = np.flatnonzero((most < layer.bg_thresh_hi) & (most >= layer.bg_thresh_lo))
    positive = random.permutation(positive)[: round(layer.fg_fraction * count)]
    negative = random.permutation(negative)[: count - len(positive)]
    return np.concatenate([positive, negative]), len(positive)
