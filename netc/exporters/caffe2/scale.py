"""Layers of `netc/layers/scale.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.scale import Bias, Broadcast, Scale


def _operand(layer: Broadcast, call: Caffe2Call, index: int, word: str) -> str:
    """A blob of the layer, or the second bottom."""
    if len(call.bottoms) > 1 and index == 0:
        return call.bottoms[1]
    return call.parameter(call.blobs[index].reshape(layer.operand(call.shapes)), word)


@writes(Scale)
def scale(layer: Scale, call: Caffe2Call) -> None:
    """Mul, and Add with a bias."""
    axis = layer.axis % call.axes
    factor = _operand(layer, call, 0, "w")
    if not layer.bias_term:
        call.top("Mul", call.x, factor, broadcast=1, axis=axis)
        return
    addend = call.parameter(call.blobs[-1].reshape(layer.operand(call.shapes)), "b")
    scaled = call.op("Mul", call.x, factor, broadcast=1, axis=axis)
    call.top("Add", scaled, addend, broadcast=1, axis=axis)


@writes(Bias)
def bias(layer: Bias, call: Caffe2Call) -> None:
    """Add."""
    call.top("Add", call.x, _operand(layer, call, 0, "b"), broadcast=1, axis=layer.axis % call.axes)
