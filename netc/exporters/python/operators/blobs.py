"""Layers of `netc/layers/operators/blobs.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.blobs import StoredBlob


@writes(StoredBlob, any_extents=True)
def stored_blob(layer: StoredBlob, call: PythonCall) -> Code:
    """The parameter or buffer."""
    return Code(call.weights[0], is_held=True)
