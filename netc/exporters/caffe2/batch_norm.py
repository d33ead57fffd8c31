"""Layers of `netc/layers/batch_norm.py` as operators of Caffe2."""

from __future__ import annotations

import numpy as np

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.layers.batch_norm import BatchNorm


@writes(BatchNorm)
def batch_norm(layer: BatchNorm, call: Caffe2Call) -> None:
    """SpatialBN with the averages, its factor and addend those of the layer or 1 and 0."""
    if layer.use_global_stats is False:
        unsupported("it normalizes by the moments of the batch")
    if call.axes < 2:
        unsupported("its bottom has one axis")
    mean, variance, *affine = layer.moments(call.blobs)
    factor = affine[0] if affine else np.ones_like(mean)
    addend = affine[1] if len(affine) > 1 else np.zeros_like(mean)
    arrays = {"scale": factor, "bias": addend, "mean": mean, "var": variance}
    blobs = [call.parameter(np.asarray(array, np.float32), name) for name, array in arrays.items()]
    call.top("SpatialBN", call.x, *blobs, is_test=1, epsilon=float(layer.eps), order="NCHW")
