"""Layers of `netc/layers/concat.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.concat import Concat, Slice, Split


@writes(Concat, any_extents=True)
def concat(layer: Concat, call: PythonCall) -> Code:
    """Joined along an axis."""
    return Code(f"torch.cat([{', '.join(call.bottoms)}], {layer.axis})")


@writes(Slice, any_extents=True)
def slice_(layer: Slice, call: PythonCall) -> Code:
    """Parted along an axis."""
    if layer.axis % call.axes in call.free[0]:
        unsupported("cuts an axis whose extent is free", "axis")
    parts = [top[layer.axis] for top in layer.infer(call.shapes, call.tops)]
    made = f"{call.x}.split({parts}, {layer.axis})"
    return Code(made if call.tops > 1 else call.x)


@writes(Split, any_extents=True)
def split(layer: Split, call: PythonCall) -> Code:
    """The bottom itself, for each top."""
    return Code(", ".join([call.x] * call.tops))
