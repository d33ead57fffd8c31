"""Layers of `netc/layers/operators/smooth_activations.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.smooth_activations import SoftmaxOperator


@writes(SoftmaxOperator)
def softmax(layer: SoftmaxOperator, call: PythonCall) -> Code:
    """The softmax of the last axis; of several, flattened for the call."""
    axis = layer.axis % call.axes
    if axis == call.axes - 1:
        return Code(f"{call.x}.softmax({axis})")
    return Code(f"{call.x}.flatten({axis}).softmax({axis}).reshape_as({call.x})")
