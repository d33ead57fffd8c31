"""Layers of `netc/layers/elementwise.py` as operators of Caffe2."""

from __future__ import annotations

import math

import numpy as np

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.layers.elementwise import NATURAL, AbsVal, Clip, Exp, Log, Power


def _affine(call: Caffe2Call, x: str, scale: float, shift: float) -> str:
    """`scale` times x plus `shift`, x itself where both do nothing."""
    if scale != 1:
        x = call.op("Scale", x, scale=float(scale))
    if shift:
        x = call.op("Add", x, call.parameter(np.array([shift], np.float32), "shift"), broadcast=1)
    return x


@writes(AbsVal)
def absolute(layer: AbsVal, call: Caffe2Call) -> None:
    """Abs."""
    call.top("Abs", call.x)


@writes(Clip)
def clip(layer: Clip, call: Caffe2Call) -> None:
    """Clip."""
    call.top("Clip", call.x, min=float(layer.min), max=float(layer.max))


@writes(Exp)
def exponential(layer: Exp, call: Caffe2Call) -> None:
    """Exp of the exponent times the logarithm of the base."""
    factor = 1.0 if layer.base == NATURAL else math.log(layer.base)
    call.top("Exp", _affine(call, call.x, factor * layer.scale, factor * layer.shift))


@writes(Log)
def logarithm(layer: Log, call: Caffe2Call) -> None:
    """Log, divided by the logarithm of the base."""
    x = _affine(call, call.x, layer.scale, layer.shift)
    if layer.base == NATURAL:
        call.top("Log", x)
    else:
        call.top("Scale", call.op("Log", x), scale=1 / math.log(layer.base))


@writes(Power)
def power(layer: Power, call: Caffe2Call) -> None:
    """Pow of a scaled and shifted bottom."""
    if layer.power == 0:
        unsupported("its power is 0: the top is constant")
    if layer.power != 1:
        call.top("Pow", _affine(call, call.x, layer.scale, layer.shift), exponent=float(layer.power))
    elif layer.shift:
        shift = call.parameter(np.array([layer.shift], np.float32), "shift")
        call.top("Add", _affine(call, call.x, layer.scale, 0.0), shift, broadcast=1)
    else:
        call.top("Scale", call.x, scale=float(layer.scale))
