"""Layers of `netc/layers/dropout.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.dropout import Dropout


@writes(Dropout)
def dropout(layer: Dropout, call: OnnxCall) -> None:
    """Identity, as in test."""
    call.top("Identity", call.x)
