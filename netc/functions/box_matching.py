"""SSD's assignment of ground truth to boxes: to each object its best box, then to other boxes their best object.

Each step depends on the values, so it is computed on the CPU, in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNMATCHED, IGNORED = -1, -2
LEAST = 1e-6
"""Overlaps up to this number count as none."""

Array = NDArray[Any]


def match(overlaps: Array, threshold: float, per_prediction: bool, ignored: Array | None = None) -> tuple[Array, Array]:
    """Return the object of each box, and its overlap with it, for overlaps (boxes, objects).

    The largest overlap is a match, then the largest of the other boxes and objects, and so on. With `per_prediction`
    every other box is then matched to its best object if their overlap is at least `threshold`. A box without a match
    has -1 and its largest overlap; one of `ignored` has -2 and 0.

    >>> match(np.array([[0.9, 0.8], [0.6, 0.1], [0.0, 0.3]]), 0.5, True)
    (array([0, 0, 1]), array([0.9, 0.6, 0.3]))
    """
    overlaps = np.where(overlaps > LEAST, overlaps, 0)
    if ignored is not None:
        overlaps[ignored] = 0
    best = overlaps.max(1, initial=0)
    matches = np.full(len(overlaps), UNMATCHED)
    if ignored is not None:
        matches[ignored] = IGNORED
    if not overlaps.size:
        return matches, best
    _match_objects(overlaps, matches, best)
    if per_prediction:
        chosen = (matches == UNMATCHED) & (best >= threshold) & (best > 0)
        matches[chosen] = overlaps[chosen].argmax(1)
    return matches, best


def _match_objects(overlaps: Array, matches: Array, best: Array) -> None:
    """Match each object to one box; of equal overlaps the first box, then the first object."""
    free = list(range(overlaps.shape[1]))
    boxes = overlaps.argmax(0)  # the best box of each object
    overlaps = overlaps.copy()
    while free:
        values = overlaps[boxes[free], free]
        largest = values.max()
        if largest <= 0:
            return
        ties = [free[i] for i in np.flatnonzero(values == largest)]
        found = min(ties, key=lambda item: (boxes[item], item))
        box = boxes[found]
        matches[box], best[box] = found, largest
        free.remove(found)
        overlaps[box] = 0
        for item in free:
            if boxes[item] == box:
                boxes[item] = overlaps[:, item].argmax()
