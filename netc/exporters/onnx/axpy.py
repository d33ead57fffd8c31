"""Layers of `netc/layers/axpy.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.axpy import Axpy


@writes(Axpy, any_extents=True)
def axpy(layer: Axpy, call: OnnxCall) -> None:
    """Mul and Add, the factors with as many axes as the others."""
    factors, scaled, added = call.bottoms
    axes = len(call.shapes[1])
    if len(call.shapes[0]) != axes:
        shape = call.constant([0, 0, *[1] * (axes - 2)], "shape", np.int64)
        factors = call.op("Reshape", factors, shape)
    call.top("Add", call.op("Mul", factors, scaled), added)
