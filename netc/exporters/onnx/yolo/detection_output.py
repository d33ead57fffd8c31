"""Layers of `netc/layers/yolo/detection_output.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import Array, OnnxCall, writes
from netc.layers.yolo._grid import OBJECTNESS
from netc.layers.yolo.detection_output import (
    ROW,
    SAME,
    DetectionsOfYolo,
    YoloDetectionOutput,
    Yolov3Detection,
    Yolov3DetectionOutput,
)

MOST = 2**31 - 1
"""Boxes to keep at most."""


@writes(YoloDetectionOutput, any_extents=True)
def yolo_detection_output(layer: YoloDetectionOutput, call: OnnxCall) -> None:
    """The table of all boxes, from which NonMaxSuppression chooses."""
    tables = []
    for index in range(len(call.bottoms)):
        anchors = np.asarray(layer.biases[: 2 * layer.num_box], np.float32).reshape(-1, 2)
        box = _Boxes(layer, call, index)
        classes = call.op("Softmax", box.columns(OBJECTNESS + 1, OBJECTNESS + 1 + layer.num_classes), axis=-1)
        tables.append(box.table(anchors, classes, best_first=True))
    _choose(layer, call, tables, _below(layer.confidence_threshold))


@writes(Yolov3DetectionOutput, any_extents=True)
@writes(Yolov3Detection, any_extents=True)
def yolov3_detection_output(layer: Yolov3DetectionOutput, call: OnnxCall) -> None:
    """The table of all boxes, each with its best class, from which NonMaxSuppression chooses."""
    if layer.nms_threshold > SAME:
        unsupported("with an `nms_threshold` of about 1 a box may be found for several classes")
    tables = []
    for index, scale in enumerate(layer.anchors_scale[: len(call.bottoms)]):
        first = index * (len(layer.mask) // layer.mask_group_num)
        chosen = list(layer.mask[first : first + layer.num_box])
        anchors = np.asarray(layer.biases, np.float32).reshape(-1, 2)[chosen] / np.float32(scale)
        box = _Boxes(layer, call, index)
        classes = call.op("Sigmoid", box.columns(OBJECTNESS + 1, box.length))
        tables.append(box.table(anchors, classes, best_first=False))
    _choose(layer, call, tables, layer.confidence_threshold)


def _below(value: float) -> float:
    """The greatest smaller number, for comparisons that hold for equal ones."""
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))


class _Boxes:
    """The boxes of one bottom as rows (batch, cells * boxes, length)."""

    def __init__(self, layer: DetectionsOfYolo, call: OnnxCall, index: int) -> None:
        if set(call.free[index]) - {0}:
            unsupported("the cells of a bottom are constants")
        _, channels, self.h, self.w = call.shapes[index]
        self.call, self.boxes = call, layer.num_box
        self.length = channels // self.boxes
        planes = self._shaped(call.bottoms[index], (-1, self.boxes, self.length, self.h * self.w))
        cells = call.op("Transpose", planes, perm=[0, 3, 1, 2])
        self.rows = self._shaped(cells, (-1, self.h * self.w * self.boxes, self.length))

    def columns(self, first: int, last: int) -> str:
        """Some numbers of each box."""
        call = self.call
        bounds = (call.constant([bound], "bounds", np.int64) for bound in (first, last, 2))
        return call.op("Slice", self.rows, *bounds)

    def table(self, anchors: Array, classes: str, *, best_first: bool) -> str:
        """Rows (class, score, corners); the objectness is multiplied with the scores, or with the best of them."""
        call = self.call
        objectness = call.op("Sigmoid", self.columns(OBJECTNESS, OBJECTNESS + 1))
        last = call.constant([-1], "axes", np.int64)
        if best_first:
            best = call.op("Mul", call.op("ReduceMax", classes, last, keepdims=1), objectness)
        else:
            classes = call.op("Mul", classes, objectness)
            best = call.op("ReduceMax", classes, last, keepdims=1)
        label = call.op("Cast", call.op("ArgMax", classes, axis=-1, keepdims=1), to_type="net")
        label = call.op("Add", label, call.constant(1, "background"))
        rows = call.op("Concat", label, best, self._corners(anchors), axis=2)
        return self._shaped(rows, (-1, ROW - 1))

    def _corners(self, anchors: Array) -> str:
        call, sides = self.call, np.array([self.w, self.h], np.float32)
        rows, columns = np.indices((self.h, self.w))
        cells = np.stack((columns, rows), -1).reshape(-1, 2).repeat(self.boxes, 0)
        sizes = np.tile(anchors / sides, (self.h * self.w, 1))
        center = call.op("Add", call.op("Sigmoid", self.columns(0, 2)), call.constant(cells, "cells"))
        center = call.op("Div", center, call.constant(sides, "sides"))
        size = call.op("Mul", call.op("Exp", self.columns(2, 4)), call.constant(sizes, "anchors"))
        half = call.op("Mul", size, call.constant(0.5, "half"))
        return call.op("Concat", call.op("Sub", center, half), call.op("Add", center, half), axis=2)

    def _shaped(self, x: str, shape: tuple[int, ...]) -> str:
        return self.call.op("Reshape", x, self.call.constant(shape, "shape", np.int64))


def _choose(layer: DetectionsOfYolo, call: OnnxCall, tables: list[str], threshold: float) -> None:
    """The rows that suppression keeps, or one of -1 per image."""
    if layer.nms_threshold <= 0:
        unsupported("NonMaxSuppression takes thresholds above 0")
    table = call.op("Concat", *tables, axis=0) if len(tables) > 1 else tables[0]
    chosen = call.op(
        "NonMaxSuppression",
        _float(call, table, (2, ROW - 1), (1, -1, 4)),
        _float(call, table, (1, 2), (1, 1, -1)),
        call.constant([MOST], "most", np.int64),
        call.constant([min(_below(layer.nms_threshold), 1)], "overlap", np.float32),
        call.constant([threshold], "threshold", np.float32),
    )
    places = call.op("Gather", chosen, call.constant(2, "column", np.int64), axis=1)
    rows = call.op("Gather", table, places, axis=0)
    rows = call.op("Pad", rows, call.constant([0, 1, 0, 0], "image", np.int64))
    rows = call.op("Concat", rows, _nothing(call, places), axis=0)
    call.top("Reshape", rows, call.constant([1, 1, -1, ROW], "shape", np.int64))


def _float(call: OnnxCall, table: str, columns: tuple[int, int], shape: tuple[int, ...]) -> str:
    """Columns of the table in the type that NonMaxSuppression takes."""
    bounds = (call.constant([bound], "bounds", np.int64) for bound in (*columns, 1))
    part = call.op("Reshape", call.op("Slice", table, *bounds), call.constant(shape, "shape", np.int64))
    return part if call.sink.dtype == np.float32 else call.op("Cast", part, to_type="float32")


def _nothing(call: OnnxCall, places: str) -> str:
    """A row of -1 with its number for each image, or no row if there are places."""
    zero, one = call.constant(0, "zero", np.int64), call.constant(1, "one", np.int64)
    empty = call.op("Cast", call.op("Equal", call.op("Size", places), zero), to_type="int64")
    images = call.op("Reshape", call.op("Shape", call.x, start=0, end=1), call.constant([], "scalar", np.int64))
    numbers = call.op("Range", zero, call.op("Mul", images, empty), one)
    numbers = call.op("Cast", call.op("Unsqueeze", numbers, call.constant([1], "axes", np.int64)), to_type="net")
    return call.op("Pad", numbers, call.constant([0, 0, 0, ROW - 1], "columns", np.int64), call.constant(-1, "missing"))
