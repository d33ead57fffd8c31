"""Layers of `netc/layers/detection/detection_output.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.detection.detection_output import EVERY_SCORE, DetectionOutput, RefineDetDetectionOutput

EVERY_BOX = 2**31 - 1
"""A limit of boxes per class that no net reaches."""


@writes(DetectionOutput, RefineDetDetectionOutput, any_extents=True)
def detection_output(layer: DetectionOutput, call: OnnxCall) -> None:
    """Decoding, NonMaxSuppression, and gathers of what it selects."""
    if layer.eta < 1:
        unsupported("NonMaxSuppression has a constant threshold", "eta")
    boxes, scores = _boxes(layer, call), _scores(layer, call)
    limits = [call.constant(one, "limit") for one in (0.0, 1.0)]
    if layer.clip_before_nms:
        boxes = call.op("Clip", boxes, *limits)
    images, labels, places = _selected(layer, call, boxes, scores)
    # The first extent of boxes and scores is images, or images times labels; `places` are rows of them.
    found = call.op("GatherND", scores, call.op("Concat", images, labels, places, axis=1))
    column = images if layer.share_location else labels
    index = [images, places] if layer.share_location else [images, column, places]
    corners = call.op("GatherND", boxes, call.op("Concat", *index, axis=1))
    if layer.clip_after_nms:
        corners = call.op("Clip", corners, *limits)
    names = [c for c in range(layer.num_classes) if c != layer.background_label_id]
    label = call.op("Gather", call.constant(names, "labels", np.int64), labels, axis=0)
    head = [call.op("Cast", part, to_type="net") for part in (images, label)]
    score = call.op("Unsqueeze", found, call.constant([1], "axis", np.int64))
    rows = call.op("Concat", *head, score, corners, axis=1)
    if layer.keep_top_k >= 0:
        rows = _best(layer.keep_top_k, call, rows, scores)
    call.top("Reshape", _or_nothing(call, rows, scores), call.constant((1, 1, -1, 7), "shape", np.int64))


def _ints(call: OnnxCall, *values: int) -> str:
    return call.constant(list(values), "numbers", np.int64)


def _columns(call: OnnxCall, x: str, start: int, stop: int, axis: int) -> str:
    return call.op("Slice", x, _ints(call, start), _ints(call, stop), _ints(call, axis))


def _boxes(layer: DetectionOutput, call: OnnxCall) -> str:
    """Return the boxes: (n, p, 4), or (n, labels, p, 4) if each class has its own."""
    priors = call.op("Reshape", call.bottoms[2], _ints(call, 1, 2, -1, 1, 4))
    boxes, variances = (
        call.op("Squeeze", _columns(call, priors, i, i + 1, 1), _ints(call, 1)) for i in (0, 1)
    )  # (1, p, 1, 4)
    if len(call.bottoms) > 4:
        first = call.op("Reshape", call.bottoms[4], _ints(call, 0, -1, 1, 4))
        boxes = _decoded(layer, call, first, boxes, variances)
    classes = 1 if layer.share_location else layer.num_classes
    codes = call.op("Reshape", call.bottoms[0], _ints(call, 0, -1, classes, 4))
    decoded = _decoded(layer, call, codes, boxes, variances)
    if layer.share_location:
        return call.op("Squeeze", decoded, _ints(call, 2))
    kept = [c for c in range(classes) if c != layer.background_label_id]
    own = call.op("Gather", decoded, call.constant(kept, "classes", np.int64), axis=2)
    return call.op("Transpose", own, perm=[0, 2, 1, 3])


def _decoded(layer: DetectionOutput, call: OnnxCall, codes: str, priors: str, variances: str) -> str:
    if not layer.variance_encoded_in_target:
        codes = call.op("Mul", codes, variances)
    if layer.code_type == "CORNER":
        return call.op("Add", priors, codes)
    low, high = _columns(call, priors, 0, 2, 3), _columns(call, priors, 2, 4, 3)
    sizes = call.op("Sub", high, low)
    if layer.code_type == "CORNER_SIZE":
        return call.op("Add", priors, call.op("Mul", codes, call.op("Concat", sizes, sizes, axis=3)))
    half = call.constant(0.5, "half")
    centers = call.op("Mul", call.op("Add", low, high), half)
    moved = call.op("Add", call.op("Mul", _columns(call, codes, 0, 2, 3), sizes), centers)
    halves = call.op("Mul", call.op("Mul", call.op("Exp", _columns(call, codes, 2, 4, 3)), sizes), half)
    return call.op("Concat", call.op("Sub", moved, halves), call.op("Add", moved, halves), axis=3)


def _scores(layer: DetectionOutput, call: OnnxCall) -> str:
    """Return the scores (n, labels, p), of each label the `top_k` largest; the others are minus infinity."""
    scores = call.op("Reshape", call.bottoms[1], _ints(call, 0, -1, layer.num_classes))
    if isinstance(layer, RefineDetDetectionOutput) and len(call.bottoms) > 3:
        scores = _with_objects(layer, call, scores)
    kept = [c for c in range(layer.num_classes) if c != layer.background_label_id]
    own = call.op("Gather", scores, call.constant(kept, "classes", np.int64), axis=2)
    scores = call.op("Transpose", own, perm=[0, 2, 1])
    if layer.top_k is None or layer.top_k < 0:
        return scores
    top = call.op("Min", _ints(call, layer.top_k), _columns(call, call.op("Shape", scores), 2, 3, 0))
    values, places = (call.sink.fresh(f"{call.name}/top {word}") for word in ("values", "places"))
    call.add("TopK", (scores, top), (values, places), {"axis": 2})
    nothing = call.op("Add", call.op("Mul", scores, call.constant(0.0, "zero")), call.constant(-np.inf, "none"))
    return call.op("ScatterElements", nothing, places, values, axis=2)


def _with_objects(layer: RefineDetDetectionOutput, call: OnnxCall, scores: str) -> str:
    objectness = _columns(call, call.op("Reshape", call.bottoms[3], _ints(call, 0, -1, 2)), 1, 2, 2)
    skipped = call.op("Less", objectness, call.constant(layer.objectness_score, "least"))
    empty = np.eye(1, layer.num_classes)
    return call.op("Where", skipped, call.constant(empty[None], "background"), scores)


def _selected(layer: DetectionOutput, call: OnnxCall, boxes: str, scores: str) -> tuple[str, str, str]:
    """Return the images, the indices of the labels, and the priors of the boxes that are kept, each (k, 1)."""
    low, high = (_columns(call, boxes, start, start + 2, -1) for start in (0, 2))
    proper = call.op("Concat", low, call.op("Max", low, high), axis=-1)  # an inverted box has no area
    labels = layer.num_classes - (0 <= layer.background_label_id < layer.num_classes)
    flat = scores
    if not layer.share_location:
        count = _columns(call, call.op("Shape", scores), 2, 3, 0)
        proper = call.op("Reshape", proper, call.op("Concat", _ints(call, -1), count, _ints(call, 4), axis=0))
        flat = call.op("Reshape", scores, call.op("Concat", _ints(call, -1, 1), count, axis=0))
    lowest = EVERY_SCORE if layer.confidence_threshold is None else layer.confidence_threshold
    overlap = call.constant([min(layer.nms_threshold, 1)], "overlap", np.float32)
    threshold = call.constant([lowest], "threshold", np.float32)
    cast = [call.op("Cast", part, to_type=np.float32) for part in (proper, flat)]
    found = call.op("NonMaxSuppression", *cast, _ints(call, EVERY_BOX), overlap, threshold)
    first, second, places = (_columns(call, found, i, i + 1, 1) for i in range(3))
    if layer.share_location:
        return first, second, places
    each = _ints(call, labels)
    return call.op("Div", first, each), call.op("Mod", first, each), places


def _best(count: int, call: OnnxCall, rows: str, scores: str) -> str:
    """Return the rows of each image with the largest scores, in their order."""
    total = _columns(call, call.op("Shape", rows), 0, 1, 0)
    by_score = _sorted(call, call.op("Squeeze", _columns(call, rows, 2, 3, 1), _ints(call, 1)), total, 1)
    image = call.op("Squeeze", _columns(call, rows, 0, 1, 1), _ints(call, 1))
    by_image = _sorted(call, call.op("Gather", image, by_score, axis=0), total, 0)
    order = call.op("Gather", by_score, by_image, axis=0)
    images = call.op("Cast", call.op("Gather", image, order, axis=0), to_type=np.int64)
    batch = _columns(call, call.op("Shape", scores), 0, 1, 0)
    zeros = call.op("Expand", _ints(call, 0), batch)
    ones = call.op("Expand", _ints(call, 1), total)
    counts = call.op("ScatterElements", zeros, images, ones, axis=0, reduction="add")
    starts = call.op("CumSum", counts, call.constant(0, "axis", np.int64), exclusive=1)
    places = call.op("CumSum", ones, call.constant(0, "axis", np.int64), exclusive=1)
    rank = call.op("Sub", places, call.op("Gather", starts, images, axis=0))
    kept = call.op("Compress", order, call.op("Less", rank, _ints(call, count)), axis=0)
    size = call.op("Shape", kept)
    back = call.op("Gather", kept, _sorted(call, call.op("Cast", kept, to_type="net"), size, 0), axis=0)
    return call.op("Gather", rows, back, axis=0)


def _sorted(call: OnnxCall, keys: str, count: str, largest: int) -> str:
    """Return the positions of the keys in order; those of equal keys in their order."""
    values, places = (call.sink.fresh(f"{call.name}/sorted {word}") for word in ("values", "places"))
    call.add("TopK", (keys, count), (values, places), {"axis": 0, "largest": largest})
    return places


def _or_nothing(call: OnnxCall, rows: str, scores: str) -> str:
    """Return the rows, or one row [image, -1, ...] per image if there are none."""
    batch = _columns(call, call.op("Shape", scores), 0, 1, 0)
    ones = call.op("Expand", _ints(call, 1), batch)
    images = call.op("CumSum", ones, call.constant(0, "axis", np.int64), exclusive=1)
    column = call.op("Unsqueeze", call.op("Cast", images, to_type="net"), _ints(call, 1))
    shape = call.op("Concat", batch, _ints(call, 6), axis=0)
    nothing = call.op("Concat", column, call.op("Expand", call.constant([-1.0], "nothing"), shape), axis=1)
    count = _columns(call, call.op("Shape", rows), 0, 1, 0)
    length = call.op("Where", call.op("Equal", count, _ints(call, 0)), batch, count)
    return call.op("Slice", call.op("Concat", rows, nothing, axis=0), _ints(call, 0), length, _ints(call, 0))
