"""Layers of `netc/layers/elementwise.py` in ONNX."""

from __future__ import annotations

import math

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.elementwise import NATURAL, AbsVal, Clip, Exp, Log, Power, Threshold


@writes(AbsVal, any_extents=True)
def absolute(layer: AbsVal, call: OnnxCall) -> None:
    """Abs."""
    call.top("Abs", call.x)


@writes(Clip, any_extents=True)
def clip(layer: Clip, call: OnnxCall) -> None:
    """Clip; of crossed bounds the lower counts."""
    low = call.constant(layer.min, "min")
    call.top("Clip", call.x, low, call.constant(max(layer.min, layer.max), "max"))


@writes(Threshold, any_extents=True)
def threshold(layer: Threshold, call: OnnxCall) -> None:
    """Greater, as numbers."""
    above = call.op("Greater", call.x, call.constant(layer.threshold))
    call.top("Where", above, call.constant(1), call.constant(0))


def _affine(call: OnnxCall, scale: float, shift: float) -> str:
    x = call.x if scale == 1 else call.op("Mul", call.x, call.constant(scale, "scale"))
    return x if shift == 0 else call.op("Add", x, call.constant(shift, "shift"))


@writes(Power, any_extents=True)
def power(layer: Power, call: OnnxCall) -> None:
    """Mul, Add and Pow; a constant of the bottom's shape where power or scale is 0."""
    if layer.power * layer.scale == 0:
        value = float(np.power(np.float64(layer.shift), layer.power))
        call.top("Expand", call.constant(value), call.op("Shape", call.x))
        return
    inner = _affine(call, layer.scale, layer.shift)
    if layer.power == 1:
        call.top("Identity", inner)
    else:
        call.top("Pow", inner, call.constant(layer.power, "power"))


@writes(Exp, any_extents=True)
def exp(layer: Exp, call: OnnxCall) -> None:
    """Exp of the exponent in natural units."""
    logarithm = 1.0 if layer.base == NATURAL else math.log(layer.base)
    call.top("Exp", _affine(call, layer.scale * logarithm, layer.shift * logarithm))


@writes(Log, any_extents=True)
def log(layer: Log, call: OnnxCall) -> None:
    """Log, divided by that of the base."""
    inner = _affine(call, layer.scale, layer.shift)
    if layer.base == NATURAL:
        call.top("Log", inner)
    else:
        call.top("Div", call.op("Log", inner), call.constant(math.log(layer.base), "base"))
