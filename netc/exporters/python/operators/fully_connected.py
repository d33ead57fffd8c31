"""Layers of `netc/layers/operators/fully_connected.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.fully_connected import FullyConnected


@writes(FullyConnected)
def fully_connected(layer: FullyConnected, call: PythonCall) -> Code:
    """F.linear of matrices."""
    if layer.axis != 1 or layer.axis_w != 1:
        unsupported("more or fewer axes than the first stay", "axis")
    x, w = (name if len(shape) == 2 else f"{name}.flatten(1)" for name, shape in zip(call.bottoms, call.shapes[:2]))
    return Code(f"F.linear({x}, {w}{'.t()' * layer.transposed}, {call.bottoms[2]})")
