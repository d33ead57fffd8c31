"""Layers of `netc/layers/yolo/detection_output.py` in plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.yolo.detection_output import SAME, YoloDetectionOutput, Yolov3Detection, Yolov3DetectionOutput

if TYPE_CHECKING:
    from collections.abc import Sequence


@writes(YoloDetectionOutput, any_extents=True)
def yolo_detection_output(layer: YoloDetectionOutput, call: PythonCall) -> Code:
    """Boxes from which suppression chooses."""
    anchors = _anchors(call, layer.biases[: 2 * layer.num_box])
    threshold = float(np.nextafter(np.float32(layer.confidence_threshold), np.float32(-np.inf)))
    tables = [f"yolo_boxes({x}, {anchors}, {layer.num_classes}, {number(threshold)}, True)" for x in call.bottoms]
    return _chosen(layer.nms_threshold, call, tables)


@writes(Yolov3DetectionOutput, any_extents=True)
@writes(Yolov3Detection, any_extents=True)
def yolov3_detection_output(layer: Yolov3DetectionOutput, call: PythonCall) -> Code:
    """Boxes at several scales, each with its best class, from which suppression chooses."""
    if layer.nms_threshold > SAME:
        unsupported("with an `nms_threshold` of about 1 a box may be found for several classes")
    tables = []
    for index, (x, scale) in enumerate(zip(call.bottoms, layer.anchors_scale)):
        first = index * (len(layer.mask) // layer.mask_group_num)
        chosen = layer.mask[first : first + layer.num_box]
        sizes = [layer.biases[2 * one + side] / scale for one in chosen for side in (0, 1)]
        threshold = number(layer.confidence_threshold)
        tables.append(f"yolo_boxes({x}, {_anchors(call, sizes)}, {layer.num_classes}, {threshold}, False)")
    return _chosen(layer.nms_threshold, call, tables)


def _anchors(call: PythonCall, sizes: Sequence[float]) -> str:
    return call.scope.constant(torch.tensor(sizes).reshape(-1, 2))


def _chosen(threshold: float, call: PythonCall, tables: list[str]) -> Code:
    rows = tables[0] if len(tables) == 1 else f"torch.cat(({', '.join(tables)}))"
    expression = f"yolo_detections({rows}, {number(threshold)}, {call.x}.shape[0])"
    return Code(expression, functions=("yolo_boxes", "yolo_detections"))
