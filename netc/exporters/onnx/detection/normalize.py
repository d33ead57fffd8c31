"""Layers of `netc/layers/detection/normalize.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.detection.normalize import Normalize


@writes(Normalize, any_extents=True)
def normalize(layer: Normalize, call: OnnxCall) -> None:
    """X / sqrt(eps + sum of squares), times the scale."""
    axes = range(1, call.axes) if layer.across_spatial else (1,)
    squares = call.op("ReduceSumSquare", call.x, call.constant(list(axes), "axes", np.int64), keepdims=1)
    norm = call.op("Sqrt", call.op("Add", squares, call.constant(layer.eps, "eps")))
    scale = call.blob(0, (-1, *(1,) * (call.axes - 2)))
    call.top("Mul", call.op("Div", call.x, norm), scale)
