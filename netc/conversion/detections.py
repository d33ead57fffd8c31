"""The objects that the outputs of a detector describe, in pixels of the image.

SSD and its relatives: rows of image, label, score, xmin, ymin, xmax, ymax in fractions of the input. R-CNN: regions,
the scores of each class, and codes that move the regions; boxes of one class that overlap a better one are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.data.pipeline.boxes import fitted
from netc.diagnostics import NetcError
from netc.ir.dims import known, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from netc.ir.augmentation import Resize
    from netc.ir.graph import Graph
    from netc.passes.arrays import Array

COLUMNS = 7
"""Values of a row of SSD's detections."""


@dataclass(frozen=True)
class Detection:
    """One object."""

    label: int
    name: str
    """The name of the label; empty without names."""
    score: float
    box: tuple[float, float, float, float]
    """xmin, ymin, xmax, ymax in pixels of the image."""


class DetectedBoxes(NamedTuple):
    """Objects before they are named, best first."""

    labels: Array
    scores: Array
    boxes: Array
    """In pixels (n, 4)."""

    def best(self, threshold: float) -> DetectedBoxes:
        """Those whose score is at least the threshold, best first."""
        order = np.argsort(-self.scores, kind="stable")
        order = order[self.scores[order] >= threshold]
        return DetectedBoxes(self.labels[order], self.scores[order], self.boxes[order])


@dataclass(frozen=True)
class RegionSettings:
    """How images are scaled for R-CNN, and how its boxes are read."""

    short_side: int = 600
    """Pixels of the shorter side of the net's input."""
    long_side: int = 1000
    """Limit of the longer side."""
    overlap: float = 0.3
    """Intersection over union above which the weaker of two boxes of a class is dropped."""
    deviations: tuple[float, ...] = ()
    """Standard deviations by which the codes were divided in training, if the weights do not include them."""

    def scale(self, size: tuple[int, int]) -> float:
        """The factor of an image of this height and width."""
        return min(self.short_side / min(size), self.long_side / max(size))


class RegionBlobs(NamedTuple):
    """The blobs of an R-CNN."""

    info: str
    """The input of height, width and scale; empty if the net has none."""
    regions: str
    """(n, 5): image, x1, y1, x2, y2 in pixels of the input."""
    scores: str
    """(n, c)."""
    codes: str
    """(n, 4 c), or (n, 8) for all classes together."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is fetched."""
        return self.regions, self.scores, self.codes


def rows_blob(graph: Graph) -> str | None:
    """The last blob with rows of detections, None if there is none."""
    found = None
    for node in graph.nodes:
        for top in node.tops:
            shape = graph.shape(top)
            if shape is not None and len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == COLUMNS:
                found = graph.values[top].blob
    return found


def region_blobs(graph: Graph, outputs: Sequence[str]) -> RegionBlobs | None:
    """The blobs of an R-CNN: two outputs with c and 4 c (or 8) columns, and the regions; None for other nets."""
    columns = {graph.values[name].blob: shape[1] for name in graph.values if (shape := _matrix(graph, name))}
    for scores in outputs:
        for codes in outputs:
            c, width = columns.get(scores, 0), columns.get(codes, 0)
            if scores != codes and c > 1 and width in (4 * c, 8):
                listed = [name for name, width in columns.items() if width == 5]
                regions = "rois" if "rois" in columns else next(iter(listed), None)
                info = [graph.values[name].blob for name in graph.inputs if graph.shape(name) == (1, 3)]
                return None if regions is None else RegionBlobs(next(iter(info), ""), regions, scores, codes)
    return None


def _matrix(graph: Graph, name: str) -> tuple[int, ...] | None:
    shape = graph.shape(name)
    return shape if shape is not None and len(shape) == 2 and known(shape[1]) else None


def no_detections(graph: Graph, outputs: Sequence[str]) -> NetcError:
    """E302 for a net without detections."""
    shapes = {value.blob: graph.shape(name) for name, value in graph.values.items()}
    found = ", ".join(f"`{name}`{text(shapes.get(name))}" for name in outputs)
    wanted = "expected rows of 7 values, or the scores and box codes of regions"
    return NetcError("the net has no output of detected objects", code="E302", notes=[f"outputs: {found}", wanted])


def of_rows(rows: Array, size: tuple[int, int], fit: Resize | None) -> DetectedBoxes:
    """The objects in rows of detections, cut off at the edges of an image of this height and width."""
    rows = rows.reshape(-1, COLUMNS)
    rows = rows[rows[:, 1] >= 0]  # a batch without objects is one row of label -1
    boxes = rows[:, 3:]
    if fit is not None:
        inner, padding, outer = (np.tile(pair, 2) for pair in fitted(size, fit))
        boxes = (boxes * outer - padding) / inner
    return DetectedBoxes(rows[:, 1].astype(int), rows[:, 2], np.clip(boxes, 0, 1) * np.tile(size[::-1], 2))


def of_regions(
    regions: Array, scores: Array, codes: Array, size: tuple[int, int], scale: float, settings: RegionSettings
) -> DetectedBoxes:
    """The objects of the regions of an image of this height and width, whose input was scaled."""
    import torch

    from netc.functions.boxes import apply_deltas, clip
    from netc.functions.suppression import nms

    classes = scores.shape[1]
    # Codes for all classes together are those of the background and of objects.
    moves = codes if codes.shape[1] == 4 * classes else np.tile(codes[:, 4:], classes)
    if settings.deviations:
        moves = moves * np.tile(np.array(settings.deviations, np.float32), classes)
    anchors, factors = torch.from_numpy(regions[:, 1:] / np.float32(scale)), torch.from_numpy(moves)
    boxes = clip(apply_deltas(anchors, factors).reshape(-1, classes, 4), size[1] - 1, size[0] - 1)
    kept = [
        (label, nms(boxes[:, label], torch.from_numpy(scores[:, label]), settings.overlap, inclusive=True).numpy())
        for label in range(1, classes)
    ]
    labels = np.concatenate([np.full(len(rows), label) for label, rows in kept])
    rows = np.concatenate([rows for _, rows in kept])
    return DetectedBoxes(labels, scores[rows, labels], boxes.numpy()[rows, labels])


def named(found: DetectedBoxes, names: Sequence[str] | None) -> Iterator[Detection]:
    """The objects with the names of their labels. Raises NetcError E100 for a label without a name."""
    for label, score, box in zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist()):
        if names is not None and label >= len(names):
            raise NetcError(f"label {label} has no name: the file names {len(names)} labels", code="E100")
        yield Detection(label, "" if names is None else names[label], score, tuple(box))
