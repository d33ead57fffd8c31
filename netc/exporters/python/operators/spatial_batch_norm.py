"""Layers of `netc/layers/operators/spatial_batch_norm.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.operators.spatial_batch_norm import SpatialBatchNorm


@writes(SpatialBatchNorm)
def spatial_batch_norm(layer: SpatialBatchNorm, call: PythonCall) -> Code:
    """F.batch_norm by the mean and variance that are inputs."""
    if not layer.is_test or layer.order != "NCHW":
        unsupported("the statistics are those of the batch, or the channels are the last axis", "is_test")
    if any(len(shape) != 1 for shape in call.shapes[1:5]):
        unsupported("its factors are not vectors")
    x, factor, addend, mean, variance = call.bottoms[:5]
    return Code(f"F.batch_norm({x}, {mean}, {variance}, {factor}, {addend}, eps={number(layer.epsilon)})")
