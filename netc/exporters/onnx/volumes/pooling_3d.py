"""Pooling layers of `netc/layers/volumes` in ONNX."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.onnx.pooling import pooling
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.volumes.nd_layers import NdPooling
from netc.layers.volumes.pooling_3d import Pooling3D


@writes(Pooling3D, any_extents=True)
def volume_pooling(layer: Pooling3D, call: OnnxCall) -> None:
    """As BVLC's layer."""
    pooling(layer.plain, call)


@writes(NdPooling, any_extents=True)
def nd_pooling(layer: NdPooling, call: OnnxCall) -> None:
    """As BVLC's layer, which counts the elements of a window otherwise."""
    if layer.pool == "AVE" and layer.kernel:
        unsupported("`AVE` of whole windows", "pool")
    pooling(layer.plain, call)
