"""Layers of `netc/layers/volumes/voxel_softmax.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.volumes.voxel_softmax import VoxelSoftmax


@writes(VoxelSoftmax, any_extents=True)
def voxel_softmax(layer: VoxelSoftmax, call: OnnxCall) -> None:
    """Softmax over the channels."""
    call.top("Softmax", call.x, axis=1)
