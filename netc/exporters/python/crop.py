"""Layers of `netc/layers/crop.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.crop import Crop


@writes(Crop, any_extents=True)
def crop(layer: Crop, call: PythonCall) -> Code:
    """Cut to the extents of the second bottom."""
    axis = layer.axis % call.axes
    offset = layer.offset if len(layer.offset) > 1 else (layer.offset or (0,)) * (call.axes - axis)
    like = call.bottoms[1]
    cut = [f"{start}:{start} + {like}.shape[{axis + i}]" for i, start in enumerate(offset)]
    return Code(f"{call.x}[{', '.join([':'] * axis + cut)}]")
