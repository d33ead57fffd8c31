"""Layers of `netc/layers/batch_norm.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.diagnostics import counted
from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.batch_norm import BatchNorm
from netc.layers.nvidia_batch_norm import NvidiaBatchNorm


@writes(BatchNorm, NvidiaBatchNorm)
def batch_norm(layer: BatchNorm, call: OnnxCall) -> None:
    """BatchNormalization with normalized statistics; a Scale after it is its affine part."""
    if layer.use_global_stats is False:
        unsupported("normalizes by the statistics of the batch", "use_global_stats")
    if call.axes < 2:
        unsupported(f"its bottom has {counted(call.axes, 'axis')}, BatchNormalization takes at least 2")
    mean, variance, *affine = layer.moments(call.blobs)
    factor = affine[0] if affine else np.ones_like(mean)
    addend = affine[1] if len(affine) > 1 else np.zeros_like(mean)
    words = {"weight": factor, "bias": addend, "mean": mean, "variance": variance}
    names = [call.constant(values, word) for word, values in words.items()]
    call.top("BatchNormalization", call.x, *names, epsilon=layer.eps)
