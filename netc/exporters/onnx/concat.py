"""Layers of `netc/layers/concat.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.concat import Concat, Slice, Split


@writes(Concat, any_extents=True)
def concat(layer: Concat, call: OnnxCall) -> None:
    """Concat."""
    call.top("Concat", *call.bottoms, axis=layer.axis)


@writes(Slice, any_extents=True)
def slice_(layer: Slice, call: OnnxCall) -> None:
    """Split."""
    if layer.axis % call.axes in call.free[0]:
        unsupported("cuts an axis whose extent is free", "axis")
    parts = [shape[layer.axis] for shape in call.top_shapes]
    if len(parts) == 1:
        call.top("Identity", call.x)
    else:
        call.op("Split", call.x, call.constant(parts, "parts", np.int64), to=call.tops, axis=layer.axis)


@writes(Split, any_extents=True)
def split(layer: Split, call: OnnxCall) -> None:
    """Identity, for each top."""
    for top in call.tops:
        call.op("Identity", call.x, to=top)
