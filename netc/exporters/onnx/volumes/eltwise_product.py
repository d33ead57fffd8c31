"""Layers of `netc/layers/volumes/eltwise_product.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.volumes.eltwise_product import EltwiseProduct


@writes(EltwiseProduct, any_extents=True)
def eltwise_product(layer: EltwiseProduct, call: OnnxCall) -> None:
    """Mul, from the first bottom on."""
    *first, last = call.bottoms
    made = first[0]
    for bottom in first[1:]:
        made = call.op("Mul", made, bottom)
    call.top("Mul", made, last)
