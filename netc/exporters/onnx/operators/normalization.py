"""Layers of `netc/layers/operators/normalization.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.normalization import LocalResponseNorm


@writes(LocalResponseNorm)
def local_response_norm(layer: LocalResponseNorm, call: OnnxCall) -> None:
    """LRN; where the scale is an output, it is the mean of squares along the channels, a pooling of volumes."""
    if layer.order != "NCHW":
        unsupported("the channels are the last axis", "order")
    if len(call.tops) == 1:
        call.top("LRN", call.x, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.bias)
        return
    axis = call.constant([1], "axis", np.int64)
    squares = call.op("Unsqueeze", call.op("Mul", call.x, call.x), axis)
    side = layer.size // 2
    means = call.op("AveragePool", squares, kernel_shape=(layer.size, 1, 1), pads=(side, 0, 0) * 2, count_include_pad=1)
    scaled = call.op("Mul", call.op("Squeeze", means, axis), call.constant(layer.alpha, "alpha"))
    scale = call.op("Add", scaled, call.constant(layer.bias, "bias"), to=call.tops[1])
    call.top("Mul", call.x, call.op("Pow", scale, call.constant(-layer.beta, "beta")))
