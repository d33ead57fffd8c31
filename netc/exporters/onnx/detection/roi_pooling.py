"""Layers of `netc/layers/detection/roi_pooling.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.detection.roi_pooling import RoiPooling


@writes(RoiPooling, any_extents=True)
def roi_pooling(layer: RoiPooling, call: OnnxCall) -> None:
    """MaxRoiPool, which was taken from Fast R-CNN."""
    if layer.pad_ratio or layer.ringpad:
        unsupported("MaxRoiPool neither enlarges regions nor continues at the other side of an image")
    regions = call.bottoms[1]
    if len(call.shapes[1]) != 2:
        regions = call.op("Reshape", regions, call.constant((-1, 5), "regions", np.int64))
    bins = [layer.pooled_h, layer.pooled_w]
    call.top("MaxRoiPool", call.x, regions, pooled_shape=bins, spatial_scale=layer.spatial_scale)
