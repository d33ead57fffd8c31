"""Layers of `netc/layers/batch_norm.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.diagnostics import counted
from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import Array, OnnxCall, writes
from netc.layers.batch_norm import BatchNorm


@writes(BatchNorm, any_extents=True)
def batch_norm(layer: BatchNorm, call: OnnxCall) -> None:
    """BatchNormalization with normalized statistics; a Scale after it is its affine part."""
    if call.axes < 2:
        unsupported(f"its bottom has {counted(call.axes, 'axis')}, BatchNormalization takes at least 2")
    mean, variance, *affine = layer.moments(call.blobs)
    factor = affine[0] if affine else np.ones_like(mean)
    addend = affine[1] if len(affine) > 1 else np.zeros_like(mean)
    if layer.use_global_stats is False:
        by_the_batch(layer.eps, call, factor, addend)
        return
    words = {"weight": factor, "bias": addend, "mean": mean, "variance": variance}
    names = [call.constant(values, word) for word, values in words.items()]
    call.top("BatchNormalization", call.x, *names, epsilon=layer.eps)


def by_the_batch(eps: float, call: OnnxCall, factor: Array, addend: Array) -> None:
    """Write BatchNormalization with the mean and the variance of the batch, which the operator has in training only."""
    axes = call.constant([axis for axis in range(call.axes) if axis != 1], "axes", np.int64)
    centered = call.op("Sub", call.x, call.op("ReduceMean", call.x, axes))
    variance = call.op("ReduceMean", call.op("Mul", centered, centered), axes)
    deviation = call.op("Sqrt", call.op("Add", variance, call.constant(eps, "eps")))
    channels = (-1, *[1] * (call.axes - 2))
    scaled = call.op("Mul", call.op("Div", centered, deviation), call.constant(factor.reshape(channels), "weight"))
    call.top("Add", scaled, call.constant(addend.reshape(channels), "bias"))
