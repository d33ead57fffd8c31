"""Layers of `netc/layers/axpy.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.axpy import Axpy


@writes(Axpy, any_extents=True)
def axpy(layer: Axpy, call: PythonCall) -> Code:
    """A product and a sum, the factors with as many axes as the others."""
    factors, scaled, added = call.bottoms
    axes = len(call.shapes[1])
    if len(call.shapes[0]) != axes:
        factors += f".reshape(*{scaled}.shape[:2]{', 1' * (axes - 2)})"
    return Code(f"{factors} * {scaled} + {added}")
