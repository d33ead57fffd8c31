"""Layers of `netc/layers/sequence/transpose.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.sequence.transpose import Transpose


@writes(Transpose, any_extents=True)
def transpose(layer: Transpose, call: PythonCall) -> Code:
    """A view with the axes in another order."""
    return Code(f"{call.x}.permute({', '.join(map(str, layer.dim))})")
