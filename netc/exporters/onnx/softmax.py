"""Layers of `netc/layers/softmax.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.softmax import Softmax


@writes(Softmax, any_extents=True)
def softmax(layer: Softmax, call: OnnxCall) -> None:
    """Softmax."""
    call.top("Softmax", call.x, axis=layer.axis)
