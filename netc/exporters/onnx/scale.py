"""Layers of `netc/layers/scale.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.scale import Bias, Broadcast, Scale


def _operand(layer: Broadcast, call: OnnxCall, index: int) -> str:
    """A blob that broadcasts over the first bottom."""
    own = layer.operand(call.shapes)
    trailing = call.axes - layer.axis % call.axes - len(own) if own else 0
    return call.blob(index, (*own, *[1] * trailing))


def _second(layer: Broadcast, call: OnnxCall) -> str:
    """The second bottom, made to broadcast over the first."""
    own = len(call.shapes[1])
    trailing = call.axes - layer.axis % call.axes - own if own else 0
    if not trailing:
        return call.bottoms[1]
    return call.op("Unsqueeze", call.bottoms[1], call.constant(range(own, own + trailing), "axes", np.int64))


@writes(Scale, any_extents=True)
def scale(layer: Scale, call: OnnxCall) -> None:
    """Mul, and perhaps Add."""
    factor = _operand(layer, call, 0) if len(call.bottoms) == 1 else _second(layer, call)
    if not layer.bias_term:
        call.top("Mul", call.x, factor)
        return
    call.top("Add", call.op("Mul", call.x, factor), _operand(layer, call, len(call.blobs) - 1))


@writes(Bias, any_extents=True)
def bias(layer: Bias, call: OnnxCall) -> None:
    """Add."""
    call.top("Add", call.x, _operand(layer, call, 0) if len(call.bottoms) == 1 else _second(layer, call))
