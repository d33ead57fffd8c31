"""Layers of `netc/layers/operators/binary.py` in plain torch."""

from __future__ import annotations

from netc.exporters.broadcasting import repeated_shape
from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.ir.dtypes import is_floating
from netc.layers.operators.binary import Binary

_SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}


@writes(Binary)
def binary(layer: Binary, call: PythonCall) -> Code:
    """The operation; the older rule of repetition by an explicit shape."""
    if layer.type not in _SIGNS or not all(map(is_floating, call.dtypes)):
        unsupported("its operator has no rule, or computes with other than real numbers")
    a, b = call.bottoms
    shape = repeated_shape(layer, *call.shapes)
    if shape != call.shapes[1]:
        if call.free[1]:
            unsupported("the second input is repeated, and has a free extent", "broadcast")
        b = f"{b}.reshape({shape})"
    return Code(f"{a} {_SIGNS[layer.type]} {b}")
