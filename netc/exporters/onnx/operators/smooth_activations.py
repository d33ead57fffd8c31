"""Layers of `netc/layers/operators/smooth_activations.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.smooth_activations import SoftmaxOperator


@writes(SoftmaxOperator)
def softmax(layer: SoftmaxOperator, call: OnnxCall) -> None:
    """Softmax of the last axis; of several, flattened for the call."""
    axis = layer.axis % call.axes
    if axis == call.axes - 1:
        call.top("Softmax", call.x, axis=-1)
        return
    scores = call.op("Softmax", call.op("Flatten", call.x, axis=axis), axis=-1)
    call.top("Reshape", scores, call.op("Shape", call.x), allowzero=1)
