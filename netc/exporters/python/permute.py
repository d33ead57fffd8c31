"""Layers of `netc/layers/permute.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.permute import Permute


@writes(Permute, any_extents=True)
def permute(layer: Permute, call: PythonCall) -> Code:
    """A view with the axes in another order."""
    return Code(f"{call.x}.permute({', '.join(map(str, layer.axes(call.axes)))})")
