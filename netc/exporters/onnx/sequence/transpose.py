"""Layers of `netc/layers/sequence/transpose.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.sequence.transpose import Transpose


@writes(Transpose, any_extents=True)
def transpose(layer: Transpose, call: OnnxCall) -> None:
    """One operator."""
    call.top("Transpose", call.x, perm=list(layer.dim))
