"""Layers of `netc/layers/operators/binary.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.broadcasting import repeated_shape
from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.ir.dtypes import is_floating
from netc.layers.operators.binary import Binary

_SAME_NAME = ("Add", "Sub", "Mul", "Div")


@writes(Binary)
def binary(layer: Binary, call: OnnxCall) -> None:
    """The operator of the same name; the older rule of repetition by an explicit shape."""
    if layer.type not in _SAME_NAME or not all(map(is_floating, call.dtypes)):
        unsupported("its operator has no rule, or computes with other than real numbers")
    a, b = call.bottoms
    shape = repeated_shape(layer, *call.shapes)
    if shape != call.shapes[1]:
        if call.free[1]:
            unsupported("the second input is repeated, and has a free extent", "broadcast")
        b = call.op("Reshape", b, call.constant(shape, "shape", np.int64))
    call.top(layer.type, a, b)
