"""Layers of `netc/layers/segmentation/upsample.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.segmentation.upsample import MaxUnpooling, NearestUpsampling


@writes(NearestUpsampling, any_extents=True)
def nearest(layer: NearestUpsampling, call: OnnxCall) -> None:
    """Resize by repeating elements."""
    if int(layer.scale) != layer.scale:
        unsupported("repeats elements a fraction of times", "scale")
    scales = call.constant([1.0] * (call.axes - 2) + [layer.scale] * 2, "scales", np.float32)
    modes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    call.top("Resize", call.x, "", scales, mode="nearest", **modes)


@writes(MaxUnpooling)
def unpooling(layer: MaxUnpooling, call: OnnxCall) -> None:
    """ScatterElements into zeros."""
    channels, h, w = call.top_shapes[0][1:]
    rows = call.constant([0, channels, -1], "rows", np.int64)
    places = call.op("Cast", call.op("Reshape", call.bottoms[1], rows), to_type="int64")
    batch = call.op("Shape", call.x, end=1)
    size = call.op("Concat", batch, call.constant([channels, h * w], "extents", np.int64), axis=0)
    zeros = call.op("Expand", call.constant([0.0], "zero"), size)
    filled = call.op("ScatterElements", zeros, places, call.op("Reshape", call.x, rows), axis=2)
    call.top("Reshape", filled, call.constant([0, channels, h, w], "shape", np.int64))
