"""Layers of `netc/layers/operators/concatenation.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.concatenation import ConcatOperator


@writes(ConcatOperator)
def concat(layer: ConcatOperator, call: OnnxCall) -> None:
    """Concat, and the extents as a constant."""
    axis = layer.axis % call.axes
    if layer.add_axis or axis == 0:
        unsupported("a new axis, or the first", "axis")
    call.top("Concat", *call.bottoms, axis=axis)
    if len(call.tops) > 1:
        extents = call.constant([shape[axis] for shape in call.shapes], "extents", np.int32)
        call.op("Identity", extents, to=call.tops[1])
