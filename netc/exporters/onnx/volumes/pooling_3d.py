"""Pooling layers of `netc/layers/volumes` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.pooling import pooling
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.volumes.pooling_3d import Pooling3D


@writes(Pooling3D, any_extents=True)
def volume_pooling(layer: Pooling3D, call: OnnxCall) -> None:
    """As BVLC's layer."""
    pooling(layer.plain, call)
