"""Layers of `netc/layers/detection/proposal.py` and `netc/layers/mnc/proposal.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.exporters.symbolic_shapes import FixedExtentError
from netc.layers.detection.proposal import Proposal, ProposalBase, ProposalLayer
from netc.layers.mnc.proposal import MncProposalLayer

OF_OPENVINO = ("box_coordinate_scale", "box_size_scale", "clip_before_nms", "clip_after_nms", "normalize")
LEAST = float(np.finfo(np.float32).min)
"""The score of a box that is dropped."""


@writes(Proposal, ProposalLayer, MncProposalLayer)
def proposal(layer: ProposalBase, call: OnnxCall) -> None:
    """NonMaxSuppression of one image; its boxes end a pixel later, so that the last pixel is inside.

    MNC's has one top: the second, of training, has an unknown extent beyond the first axis.
    """
    if any(call.free):
        raise FixedExtentError
    if isinstance(layer, Proposal):
        for name in OF_OPENVINO:
            if getattr(layer, name) != getattr(Proposal, name):
                unsupported(f"has `{name}` of OpenVINO", name)
    low, high, info = _boxes(layer, call)
    scores = _scores(layer, call, low, high, info)
    limits = layer.limits(training=False)
    count = call.shapes[1][1] * call.shapes[1][2] * call.shapes[1][3] // 4
    before = min(limits.before or count, count)
    values, order = (call.sink.fresh(f"{call.name}/{word}") for word in ("values", "order"))
    call.op("TopK", scores, call.constant([before], "before", np.int64), to=(values, order))
    low, high = (call.op("Gather", side, order, axis=0) for side in (low, high))
    kept = _suppressed(call, low, high, values, limits.after or before, limits.overlap)
    corners = [call.op("Gather", side, kept, axis=0) for side in (low, high)]
    first = call.op("Slice", corners[0], *(call.constant([one], "cut", np.int64) for one in (0, 1, 1)))
    image = call.op("Mul", first, call.constant(0.0, "image"))
    call.op("Concat", image, *corners, axis=1, to=call.tops[0])
    if len(call.tops) > 1:
        best = call.op("Gather", values, kept, axis=0)
        rows = (-1, 1) if isinstance(layer, ProposalLayer) else (-1,)
        call.op("Reshape", best, call.constant(rows, "rows", np.int64), to=call.tops[1])


def _boxes(layer: ProposalBase, call: OnnxCall) -> tuple[str, str, str]:
    """The first and the last corners (k, 2) of all boxes, and the information of the image."""
    _, _, height, width = call.shapes[1]
    base = np.array(layer.anchors(), np.float64)
    y, x = np.mgrid[:height, :width] * layer.feat_stride
    anchors = (np.stack((x, y, x, y), -1)[:, :, None] + base).reshape(-1, 4)
    size = anchors[:, 2:] - anchors[:, :2] + 1
    codes = _rows(call, call.bottoms[1], (-1, 4))
    moves, growth = (_columns(call, codes, start) for start in (0, 2))
    extent = call.constant(size, "size")
    center = call.op("Mul", moves, extent)
    center = call.op("Add", center, call.constant(anchors[:, :2] + size / 2, "center"))
    half = call.op("Mul", call.op("Exp", growth), call.constant(size / 2, "half"))
    info = call.op("Reshape", call.bottoms[2], call.constant([-1], "flat", np.int64))
    last = call.op("Gather", info, call.constant([1, 0], "extents", np.int64), axis=0)
    last = call.op("Sub", last, call.constant(1.0, "pixel"))
    corners = (call.op(kind, center, half) for kind in ("Sub", "Add"))
    low, high = (call.op("Max", call.op("Min", one, last), call.constant(0.0, "least")) for one in corners)
    return low, high, info


def _scores(layer: ProposalBase, call: OnnxCall, low: str, high: str, info: str) -> str:
    """The scores (k) of all boxes; those of boxes that are too small are 0, or the least number."""
    count = len(layer.anchors())
    cut = (call.constant([one], "cut", np.int64) for one in (count, 2 * count, 1))
    scores = _rows(call, call.op("Slice", call.x, *cut), (-1,))
    last = min(3, int(np.prod(call.shapes[2][1:])) - 1)
    at, side = ([last, 2], layer.min_size) if isinstance(layer, Proposal) else ([2, 2], layer.min_size[-1])  # type: ignore[attr-defined]
    smallest = call.op("Gather", info, call.constant(at, "scales", np.int64), axis=0)
    smallest = call.op("Mul", smallest, call.constant(float(side), "side"))
    sides = call.op("Add", call.op("Sub", high, low), call.constant(1.0, "pixel"))
    large = call.op("Cast", call.op("GreaterOrEqual", sides, smallest), to_type="net")
    large = call.op("ReduceMin", large, call.constant([1], "axis", np.int64), keepdims=0)
    if isinstance(layer, Proposal):
        return call.op("Mul", scores, large)
    kept = call.op("Greater", large, call.constant(0.5, "true"))
    return call.op("Where", kept, scores, call.constant(LEAST, "dropped"))


def _suppressed(call: OnnxCall, low: str, high: str, scores: str, most: int, overlap: float) -> str:
    """The rows that are kept, the best first."""
    reverse = call.constant([1, 0], "reverse", np.int64)
    end = call.op("Add", high, call.constant(1.0, "pixel"))
    sides = (call.op("Gather", side, reverse, axis=1) for side in (low, end))
    boxes = call.op("Unsqueeze", call.op("Concat", *sides, axis=1), call.constant([0], "batch", np.int64))
    ranked = call.op("Unsqueeze", scores, call.constant([0, 1], "class", np.int64))
    found = call.op(
        "NonMaxSuppression",
        call.op("Cast", boxes, to_type="float32"),
        call.op("Cast", ranked, to_type="float32"),
        call.constant([most], "most", np.int64),
        call.constant([overlap], "overlap", np.float32),
        call.constant([LEAST], "threshold", np.float32),
    )
    return call.op("Gather", found, call.constant(2, "box", np.int64), axis=1)


def _rows(call: OnnxCall, maps: str, shape: tuple[int, ...]) -> str:
    """Maps in the order of positions."""
    moved = call.op("Transpose", maps, perm=(0, 2, 3, 1))
    return call.op("Reshape", moved, call.constant(shape, "rows", np.int64))


def _columns(call: OnnxCall, rows: str, start: int) -> str:
    """Two columns."""
    return call.op("Slice", rows, *(call.constant([one], "cut", np.int64) for one in (start, start + 2, 1)))
