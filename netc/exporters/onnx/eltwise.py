"""Layers of `netc/layers/eltwise.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.eltwise import Eltwise


@writes(Eltwise, any_extents=True)
def eltwise(layer: Eltwise, call: OnnxCall) -> None:
    """Add, Mul or Max of the bottoms, with factors where a sum has them."""
    if layer.operation == "MAX":
        call.top("Max", *call.bottoms)
        return
    bottoms = list(call.bottoms)
    for index, factor in enumerate(layer.coeff if layer.operation == "SUM" else ()):
        if factor != 1:
            bottoms[index] = call.op("Mul", bottoms[index], call.constant(factor, "coeff"))
    kind = "Add" if layer.operation == "SUM" else "Mul"
    first = bottoms[0]
    for bottom in bottoms[1:-1]:
        first = call.op(kind, first, bottom)
    call.top(kind, first, bottoms[-1])
