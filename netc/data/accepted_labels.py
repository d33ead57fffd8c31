"""The labels that the readers of a data layer accept: others are bad records where bad records are skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.ir.dims import known

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node


@dataclass(frozen=True)
class AcceptedLabels:
    """For each reader of the labels: the number of classes, and a label that is ignored."""

    limits: tuple[tuple[int, int | None], ...]

    def __call__(self, labels: Any) -> bool:
        """Whether every reader accepts a label, or each of several; fractions are truncated, as by the layers.

        >>> accepts = AcceptedLabels(((10, 255), (5, None)))
        >>> accepts(4), accepts(7), accepts(255), AcceptedLabels(((10, 255),))([0.5, 255.0])
        (True, False, False, True)
        """
        whole = np.trunc(labels)
        return all(self._valid(whole, *limit).all() for limit in self.limits)

    def each(self, labels: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """For each item of a batch of labels (n, ...), whether all of its labels are accepted (n)."""
        rows = np.trunc(labels).reshape(len(labels), -1)
        valid: npt.NDArray[np.bool_] = np.ones(len(rows), np.bool_)
        for limit in self.limits:
            valid &= self._valid(rows, *limit).all(axis=1)
        return valid

    def first_bad(self, labels: Any) -> float:
        """The first label that a reader does not accept; the first of all if each is accepted."""
        flat = np.trunc(np.ravel(labels))
        valid = np.logical_and.reduce([self._valid(flat, *limit) for limit in self.limits])
        return float(np.ravel(labels)[int(np.argmin(valid))])

    @staticmethod
    def _valid(whole: Any, classes: int, ignored: int | None) -> Any:
        inside = (whole >= 0) & (whole < classes)
        return inside if ignored is None else inside | (whole == ignored)

    def __str__(self) -> str:
        classes = min(classes for classes, _ in self.limits)
        return f"0 to {classes - 1}"


def accepted_labels(graph: Graph, node: Node) -> AcceptedLabels | None:
    """The labels that the readers of a data layer's second top accept; None if all are, or if nothing is known."""
    if len(node.tops) < 2:
        return None
    limits = []
    for reader in graph.readers.get(node.tops[1], ()):
        scores = graph.shape(reader.bottoms[0])
        if reader.bottoms[1:2] == node.tops[1:2] and scores is not None:
            classes = reader.layer.label_classes(scores)
            if classes is not None and known(classes):
                limits.append((classes, getattr(reader.layer, "ignore_label", None)))
    return AcceptedLabels(tuple(limits)) if limits else None
