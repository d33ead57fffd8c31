"""Layers of `netc/layers/volumes/eltwise_product.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.volumes.eltwise_product import EltwiseProduct


@writes(EltwiseProduct, any_extents=True)
def eltwise_product(layer: EltwiseProduct, call: PythonCall) -> Code:
    """A product."""
    return Code(" * ".join(call.bottoms))
