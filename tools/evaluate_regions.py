#!/usr/bin/env python3
"""Evaluate a Fast or Faster R-CNN on images in the layout of PASCAL VOC.

usage: evaluate_regions.py NET WEIGHTS FOLDER [--set test] [--short 600] [--long 1000] [--classes a,b,c]

The net has the inputs `data` and `im_info` and the outputs `rois`, `cls_prob` and `bbox_pred`. Its codes are multiplied
by the deviations by which ProposalTargetLayer divides them, unless --folded says that the weights contain them, as
published ones do. Prints the average precision of each class and its mean, of eleven points (2007).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import netc
from netc.data.sources.annotated_image import AnnotatedImage
from netc.data.tools.annotation_sources import data_set
from netc.functions.boxes import apply_deltas, clip, iou
from netc.functions.suppression import nms
from netc.layers.detection.roi_data import VOC_CLASSES
from netc.training.average_precision import average_precision

MEANS = (102.9801, 115.9465, 122.7717)
STDS = (0.1, 0.1, 0.2, 0.2)
OVERLAP, LEAST, HIT = 0.3, 0.01, 0.5
"""Boxes of a class that overlap a better one by more are dropped; so are scores below; a hit overlaps its object by."""


@dataclass
class Found:
    """The detections of a class, and the number of its objects."""

    scores: list[float] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    objects: int = 0


def scaled(image: npt.NDArray[Any], short: int, long: int) -> tuple[npt.NDArray[Any], float]:
    """An image minus the means, with the shorter side `short`, the longer at most `long`; and its scale."""
    sides = sorted(image.shape[:2])
    scale = min(short / sides[0], long / sides[1])
    centered = image.astype(np.float32) - np.array(MEANS, np.float32)
    return cv2.resize(centered, None, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), scale


def detect(net: Any, image: npt.NDArray[Any], short: int, long: int, stds: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The boxes and scores of each class."""
    data, scale = scaled(image, short, long)
    info = torch.tensor([[*data.shape[:2], scale]])
    feeds = {"data": torch.from_numpy(data.transpose(2, 0, 1)[None].copy()), "im_info": info}
    with torch.no_grad():
        found = net.evaluate(feeds, ["rois", "cls_prob", "bbox_pred"])
    regions, scores, codes = (found[name] for name in ("rois", "cls_prob", "bbox_pred"))
    boxes = apply_deltas(regions[:, 1:], codes * stds.repeat(scores.shape[1]))
    boxes = clip(boxes.view(len(boxes), -1, 4), data.shape[1] - 1, data.shape[0] - 1) / scale
    return [best(boxes[:, c], scores[:, c]) for c in range(1, scores.shape[1])]


def best(boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """What suppression keeps of a class."""
    kept = nms(boxes, scores, OVERLAP, inclusive=True)
    kept = kept[scores[kept] >= LEAST]
    return boxes[kept], scores[kept]


def count(found: Found, boxes: Tensor, scores: Tensor, objects: Tensor) -> None:
    """Add the detections of an image, the best first: each object is hit once."""
    found.objects += len(objects)
    free = set(range(len(objects)))
    shared = iou(boxes, objects, inclusive=True)
    for score, row in zip(scores.tolist(), shared):
        at = int(row.argmax()) if len(row) else -1
        hit = at in free and float(row[at]) >= HIT
        free.discard(at if hit else -1)
        found.scores.append(score)
        found.hits.append(hit)


def evaluate(
    net: Any, folder: Path, image_set: str, classes: tuple[str, ...], short: int, long: int, stds: tuple[float, ...]
) -> dict[str, float]:
    """Return the average precision of each class; difficult objects are left out."""
    found = {name: Found() for name in classes}
    for name, annotation in data_set(folder, split=image_set).entries:
        if not isinstance(annotation, AnnotatedImage):
            raise annotation
        detections = detect(net, np.asarray(cv2.imread(str(folder / name))), short, long, torch.tensor(stds))
        for kind, (boxes, scores) in zip(classes, detections):
            objects = [one.box for one in annotation.objects if one.name == kind and not one.difficult]
            count(found[kind], boxes, scores, torch.tensor(objects).view(-1, 4) - 1)
    return {
        kind: average_precision(np.array(one.scores), np.array(one.hits), one.objects, "11point")
        for kind, one in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", default="test", dest="image_set")
    parser.add_argument("--short", type=int, default=600)
    parser.add_argument("--long", type=int, default=1000)
    parser.add_argument("--classes", default=",".join(VOC_CLASSES))
    parser.add_argument("--folded", action="store_true")
    given = parser.parse_args()
    stds = (1.0,) * 4 if given.folded else STDS
    net, classes = netc.load(given.net, given.weights), tuple(given.classes.split(","))
    found = evaluate(net, given.folder, given.image_set, classes, given.short, given.long, stds)
    for kind, precision in found.items():
        print(f"{kind:15} {precision:.3f}")
    print(f"{'mean':15} {sum(found.values()) / len(found):.3f}")


if __name__ == "__main__":
    main()
