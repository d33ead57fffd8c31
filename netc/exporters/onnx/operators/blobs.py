"""Layers of `netc/layers/operators/blobs.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.blobs import StoredBlob


@writes(StoredBlob, any_extents=True)
def stored_blob(layer: StoredBlob, call: OnnxCall) -> None:
    """An initializer of the blob's name."""
    call.hold_top(0)
