"""Layers of `netc/layers/operators/several_inputs.py` in ONNX."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.ir.dtypes import is_floating
from netc.layers.operators.several_inputs import SameShapes


@writes(SameShapes)
def same_shapes(layer: SameShapes, call: OnnxCall) -> None:
    """Sum, Max or Min, and perhaps Relu."""
    if not all(map(is_floating, call.dtypes)):
        unsupported("ONNX adds up real numbers only")
    if layer.type == "SumRelu":
        call.top("Relu", call.op("Sum", *call.bottoms))
    else:
        call.top(layer.type, *call.bottoms)
