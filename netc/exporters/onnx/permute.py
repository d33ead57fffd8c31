"""Layers of `netc/layers/permute.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.permute import Permute


@writes(Permute, any_extents=True)
def permute(layer: Permute, call: OnnxCall) -> None:
    """Transpose."""
    call.top("Transpose", call.x, perm=list(layer.axes(call.axes)))
