"""Average precision of detections, as SSD's solver computes it (`bbox_util.cpp`, ComputeAP). Never imports torch."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import NetcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    Array = NDArray[Any]

ROW = 5
"""Columns of a row of DetectionEvaluate: image, label, score, whether it is a true and a false positive."""
LEAST = 1e-6
"""Differences of recall up to this number count as none."""


def eleven_points(precision: Array, recall: Array) -> float:
    """Mean of the largest precisions from recall 0, 0.1, ..., 1 on (PASCAL VOC 2007)."""
    return sum(float(precision[recall >= np.float64(j / 10)].max(initial=0)) for j in range(11)) / 11


def max_integral(precision: Array, recall: Array) -> float:
    """Integral over recall of the largest precision from there on (PASCAL VOC 2012, ImageNet)."""
    largest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((largest * _steps(recall)).sum())


def integral(precision: Array, recall: Array) -> float:
    """Integral of precision over recall."""
    return float((precision * _steps(recall)).sum())


VERSIONS: dict[str, Callable[[Array, Array], float]] = {
    "11point": eleven_points,
    "MaxIntegral": max_integral,
    "Integral": integral,
}
"""By the names of a solver's `ap_version`."""


def average_precision(scores: Array, hits: Array, objects: int, version: str) -> float:
    """Return the average precision of detections with these scores; `hits` marks the true ones.

    >>> average_precision(np.array([0.9, 0.8]), np.array([True, False]), 2, "Integral")
    0.5
    """
    if not len(scores) or not objects:
        return 0.0
    true = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    precision = (true / np.arange(1, len(true) + 1)).astype(np.float32)
    return VERSIONS[version](precision, (true / objects).astype(np.float32))


def _steps(recall: Array) -> Array:
    steps = np.diff(recall, prepend=np.float32(0))
    return np.where(np.abs(steps) > LEAST, steps, 0)


@dataclass
class DetectionScores:
    """The rows of DetectionEvaluate in all batches of a test."""

    objects: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Number of objects by label."""
    found: list[Array] = field(default_factory=list)
    """Rows [label, score, whether it is true] of the detections."""

    def add(self, rows: Array) -> None:
        """Add the output of a batch. Raises NetcError E704 for an output of another layer."""
        if rows.ndim != 4 or rows.shape[3] != ROW:
            message = '`eval_type: "detection"` requires outputs of `DetectionEvaluate`'
            raise NetcError(f"{message}, got an output of shape {list(rows.shape)}", code="E704")
        rows = rows.reshape(-1, ROW)
        counts = rows[:, 0] == -1
        for label, number in rows[counts, 1:3].astype(int).tolist():
            self.objects[label] += number
        counted = ~counts & (rows[:, 3:] != 0).any(1)
        self.found.append(rows[counted, 1:4])

    def merge(self, others: Iterable[DetectionScores]) -> DetectionScores:
        """Return the rows of all."""
        result = DetectionScores()
        for other in (self, *others):
            for label, number in other.objects.items():
                result.objects[label] += number
            result.found += other.found
        return result

    def by_class(self, version: str) -> dict[int, float | None]:
        """Return the average precision of each label that was evaluated; None if nothing was detected."""
        found = np.concatenate([np.zeros((0, 3), np.float32), *self.found])
        result: dict[int, float | None] = {}
        for label, objects in sorted(self.objects.items()):
            own = found[found[:, 0] == label]
            result[label] = average_precision(own[:, 1], own[:, 2] > 0, objects, version) if len(own) else None
        return result

    def mean(self, version: str) -> float:
        """Return the mean average precision, 0 for a class without detections."""
        values = [value or 0.0 for value in self.by_class(version).values()]
        return sum(values) / len(values) if values else 0.0
