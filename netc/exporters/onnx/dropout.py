"""Layers of `netc/layers/dropout.py` in ONNX."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.dropout import Dropout


@writes(Dropout, any_extents=True)
def dropout(layer: Dropout, call: OnnxCall) -> None:
    """Identity, or the factor that the layer has in test."""
    if layer.is_identity_in_test:
        call.top("Identity", call.x)
    elif layer.sample_weights_test:
        unsupported("it sets random elements to 0 in test")
    else:
        call.top("Mul", call.x, call.constant(1 - layer.dropout_ratio, "keep"))
