"""Layers of `netc/layers/crop.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.crop import Crop


@writes(Crop, any_extents=True)
def crop(layer: Crop, call: OnnxCall) -> None:
    """Slice to the extents of the second bottom, which are read when the model runs where they are free."""
    axis = layer.axis % call.axes
    if axis == 0:
        unsupported("crops along the batch axis, whose extent is not fixed", "axis")
    offset = layer.offset if len(layer.offset) > 1 else (layer.offset or (0,)) * (call.axes - axis)
    if any(set(free) - {0} for free in call.free):
        starts = call.constant(offset, "starts", np.int64)
        extents = call.op("Shape", call.bottoms[1], start=axis)
        cut = call.constant(range(axis, call.axes), "axes", np.int64)
        call.top("Slice", call.x, starts, call.op("Add", extents, starts), cut)
        return
    ends = [start + call.shapes[1][axis + i] for i, start in enumerate(offset)]
    axes = list(range(axis, call.axes))
    words = {"starts": offset, "ends": ends, "axes": axes}
    call.top("Slice", call.x, *(call.constant(values, word, np.int64) for word, values in words.items()))
