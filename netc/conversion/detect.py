"""Detects objects in images with nets of the SSD, YOLO and R-CNN families."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from netc.compiler import issue_warnings, state_choice, weighted
from netc.conversion.classify import read_labels
from netc.conversion.detections import (
    DetectedBoxes,
    Detection,
    RegionBlobs,
    RegionSettings,
    named,
    no_detections,
    of_regions,
    of_rows,
    region_blobs,
    rows_blob,
)
from netc.conversion.embedded_net import net_source
from netc.conversion.images import prepared, read_planes
from netc.conversion.models import Files, net_of, open_net
from netc.conversion.preprocess import find_preprocess
from netc.data.images import resize
from netc.data.pipeline.augmentation import resize as fit_into
from netc.data.tools.label_map import read_label_map
from netc.passes.drop_losses import drop_losses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netc.conversion.preprocess import Preprocess, PreprocessOptions
    from netc.data.images import Image
    from netc.ir.dims import Shape
    from netc.passes.arrays import Array
    from netc.runtime.lower import Net


class ImageDetections(NamedTuple):
    """The objects of an image."""

    image: str
    """Path of the image."""
    size: tuple[int, int]
    """Height and width."""
    objects: list[Detection]
    """Best first."""


def detect(
    images: Sequence[str | Path],
    model: str | Path,
    weights: Files | None = None,
    *,
    labels: str | Path | None = None,
    threshold: float = 0.5,
    blob: str | None = None,
    preprocessing: PreprocessOptions | None = None,
    regions: RegionSettings | None = None,
    shapes: Mapping[str, Shape] | None = None,
    phase: str = "test",
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
) -> list[ImageDetections]:
    """Return the objects of each image, whatever its size, whose score is at least `threshold`.

    `labels` is a label map, or a list with the name of label 0 in the first line; `blob` the blob of detections, by
    default the last with rows of seven values. `regions` are settings for nets of the R-CNN family. `autocrop` is that
    of `load`. Raises NetcError for files that cannot be read, E302 for a net without detections.
    """
    state = state_choice(phase, level, stages, autocrop)
    found = net_source(model, state=state)
    fed = {**(found.shapes or {}), **(shapes or {})}
    net = open_net(found.source, weights or found.weights, shapes=fed, state=state)
    issue_warnings(net.report.warnings, stacklevel=3)
    plain = weighted(net)
    graph = drop_losses(plain)
    net = net if graph is plain else net_of(graph)
    steps = find_preprocess(graph, found.source, preprocessing, state)
    detector = _detector(net, steps, blob, regions or RegionSettings())
    names = None if labels is None else label_names(labels)
    results = []
    for path in images:
        image = read_planes(path, steps)
        size = (image.shape[1], image.shape[2])
        best = detector.run(image, size).best(threshold)
        results.append(ImageDetections(str(path), size, list(named(best, names))))
    return results


def label_names(path: str | Path) -> list[str]:
    """The names of labels from 0: of a label map, where missing labels are their numbers, or of the lines of a list."""
    if Path(path).suffix != ".prototxt":
        return read_labels(path)
    found = read_label_map(path)
    return [found.shown(label) for label in range(max(entry.label for entry in found.entries) + 1)]


class RowDetector:
    """A net whose output is rows of detections."""

    def __init__(self, net: Net, steps: Preprocess, blob: str) -> None:
        self.net, self.steps, self.blob = net, steps, blob

    def run(self, image: Image, size: tuple[int, int]) -> DetectedBoxes:
        """The objects of an image of this height and width."""
        rows = self.net.run({self.steps.input: self._input(image)[None]}, [self.blob])[self.blob]
        return of_rows(rows, size, self.steps.fit)

    def _input(self, image: Image) -> Array:
        """The whole image in the size of the net's input."""
        fit, crop = self.steps.fit, self.steps.crop
        if fit is None:
            return prepared(resize(image, crop), self.steps)
        settings = replace(fit, height=crop[0], width=crop[1])
        fitted = fit_into(image.transpose(1, 2, 0), settings, np.random.default_rng(0))
        return prepared(fitted.reshape(*crop, -1).transpose(2, 0, 1), self.steps)


class RegionDetector:
    """A net of the R-CNN family, fed with the whole image at a scale."""

    def __init__(self, net: Net, steps: Preprocess, blobs: RegionBlobs, settings: RegionSettings) -> None:
        self.net, self.steps, self.blobs, self.settings = net, steps, blobs, settings

    def run(self, image: Image, size: tuple[int, int]) -> DetectedBoxes:
        """The objects of an image of this height and width."""
        import cv2

        scale = self.settings.scale(size)
        values = np.ascontiguousarray(prepared(image, self.steps).transpose(1, 2, 0))
        scaled = cv2.resize(values, None, fx=scale, fy=scale)
        scaled = scaled.reshape(*scaled.shape[:2], -1).transpose(2, 0, 1)[None]
        fed = {self.steps.input: scaled}
        if self.blobs.info:
            fed[self.blobs.info] = np.array([[*scaled.shape[2:], scale]], np.float32)
        results = self.net.run(fed, self.blobs.outputs)
        regions, scores, codes = (results[name] for name in self.blobs.outputs)
        return of_regions(regions, scores, codes, size, scale, self.settings)


def _detector(net: Net, steps: Preprocess, blob: str | None, regions: RegionSettings) -> RowDetector | RegionDetector:
    rows = blob or rows_blob(net.graph)
    if rows is not None:
        return RowDetector(net, steps, rows)
    blobs = region_blobs(net.graph, net.outputs)
    if blobs is None:
        raise no_detections(net.graph, net.outputs)
    return RegionDetector(net, steps, blobs, regions)
