"""Layers of `netc/layers/activations.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.elementwise import affine
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.activations import Swish


@writes(Swish, any_extents=True)
def swish(layer: Swish, call: PythonCall) -> Code:
    """X sigmoid(beta x)."""
    return Code(f"{call.x} * {affine(call.x, layer.beta, 0)}.sigmoid()")
