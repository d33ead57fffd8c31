"""Layers of `netc/layers/operators/spatial_batch_norm.py` in ONNX."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.spatial_batch_norm import SpatialBatchNorm


@writes(SpatialBatchNorm)
def spatial_batch_norm(layer: SpatialBatchNorm, call: OnnxCall) -> None:
    """BatchNormalization by the mean and variance that are inputs."""
    if not layer.is_test or layer.order != "NCHW":
        unsupported("the statistics are those of the batch, or the channels are the last axis", "is_test")
    if any(len(shape) != 1 for shape in call.shapes[1:5]):
        unsupported("its factors are not vectors")
    call.top("BatchNormalization", *call.bottoms[:5], epsilon=layer.epsilon)
