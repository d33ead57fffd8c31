"""Layers of `netc/layers/nvidia_batch_norm.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.batch_norm import batch_norm
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.nvidia_batch_norm import NvidiaBatchNorm


@writes(NvidiaBatchNorm, any_extents=True)
def nvidia_batch_norm(layer: NvidiaBatchNorm, call: OnnxCall) -> None:
    """As BVLC's: the blobs hold the factor and the addend, too."""
    batch_norm(layer, call)
