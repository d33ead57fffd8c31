"""Layers of `netc/layers/volumes/pooling_3d.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, constructor, writes
from netc.layers.volumes.pooling_3d import Pooling3D


@writes(Pooling3D, any_extents=True)
def volume_pooling(layer: Pooling3D, call: PythonCall) -> Code:
    """A module, unless windows are padded or lie outside: then the general path writes what Caffe computes."""
    module = layer.module(call.shapes, 1)
    if module is None:
        unsupported("padded windows, or windows beyond the volume", "pad")
    return Code(f"{call.module}({call.x})", constructor(module))
