"""Layers of `netc/layers/volumes/voxel_softmax.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.volumes.voxel_softmax import VoxelSoftmax


@writes(VoxelSoftmax, any_extents=True)
def voxel_softmax(layer: VoxelSoftmax, call: PythonCall) -> Code:
    """A softmax over the channels."""
    return Code(f"{call.x}.softmax(1)")
