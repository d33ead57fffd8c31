"""Layers of `netc/layers/normalization.py` in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.diagnostics import counted
from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.normalization import LRN, MVN


@writes(LRN, any_extents=True)
def local_response(layer: LRN, call: OnnxCall) -> None:
    """LRN across channels, whose alpha is divided by the window as in Caffe; within one, the mean of squares."""
    size = layer.local_size
    if layer.norm_region == "ACROSS_CHANNELS":
        call.top("LRN", call.x, size=size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
        return
    squares = call.op("Mul", call.x, call.x)
    reach = size // 2
    window: dict[str, Any] = {
        "kernel_shape": (size, size),
        "pads": (reach,) * 4,
        "strides": (1, 1),
        "count_include_pad": 1,
    }
    mean = call.op("AveragePool", squares, **window)
    divisor = call.op("Add", call.op("Mul", mean, call.constant(layer.alpha)), call.constant(1))
    call.top("Div", call.x, call.op("Pow", divisor, call.constant(layer.beta)))


@writes(MVN, any_extents=True)
def mean_variance(layer: MVN, call: OnnxCall) -> None:
    """Subtract the mean of planes or images and divide by their deviation."""
    if call.axes != 4:
        unsupported(f"its bottom has {counted(call.axes, 'axis')}, 4 are needed")
    axes = call.constant([1, 2, 3] if layer.across_channels else [2, 3], "axes", np.int64)
    mean = call.op("ReduceMean", call.x, axes)
    if not layer.normalize_variance:
        call.top("Sub", call.x, mean)
        return
    centered = call.op("Sub", call.x, mean)
    variance = call.op("ReduceMean", call.op("Mul", centered, centered), axes)
    call.top("Div", centered, call.op("Add", call.op("Sqrt", variance), call.constant(layer.eps)))
