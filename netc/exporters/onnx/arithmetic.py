"""Layers that compute element by element."""

from __future__ import annotations

import math

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.activations import BNLL, ELU, ReLU, Sigmoid, Swish, TanH
from netc.layers.elementwise import NATURAL, AbsVal, Clip, Exp, Log, Power, Threshold
from netc.layers.eltwise import Eltwise
from netc.layers.softmax import Softmax


@writes(ReLU)
def relu(layer: ReLU, call: OnnxCall) -> None:
    """Relu or LeakyRelu."""
    if layer.negative_slope:
        call.top("LeakyRelu", call.x, alpha=layer.negative_slope)
    else:
        call.top("Relu", call.x)


@writes(ELU)
def elu(layer: ELU, call: OnnxCall) -> None:
    """Elu."""
    call.top("Elu", call.x, alpha=layer.alpha)


@writes(Sigmoid)
def sigmoid(layer: Sigmoid, call: OnnxCall) -> None:
    """Sigmoid."""
    call.top("Sigmoid", call.x)


@writes(TanH)
def tanh(layer: TanH, call: OnnxCall) -> None:
    """Tanh."""
    call.top("Tanh", call.x)


@writes(BNLL)
def bnll(layer: BNLL, call: OnnxCall) -> None:
    """Softplus."""
    call.top("Softplus", call.x)


@writes(Swish)
def swish(layer: Swish, call: OnnxCall) -> None:
    """Mul by a Sigmoid."""
    inner = call.x if layer.beta == 1 else call.op("Mul", call.x, call.constant(layer.beta))
    call.top("Mul", call.x, call.op("Sigmoid", inner))


@writes(Softmax)
def softmax(layer: Softmax, call: OnnxCall) -> None:
    """Softmax."""
    call.top("Softmax", call.x, axis=layer.axis)


@writes(AbsVal)
def absolute(layer: AbsVal, call: OnnxCall) -> None:
    """Abs."""
    call.top("Abs", call.x)


@writes(Clip)
def clip(layer: Clip, call: OnnxCall) -> None:
    """Clip; of crossed bounds the lower counts."""
    low = call.constant(layer.min, "min")
    call.top("Clip", call.x, low, call.constant(max(layer.min, layer.max), "max"))


@writes(Threshold)
def threshold(layer: Threshold, call: OnnxCall) -> None:
    """Greater, as numbers."""
    above = call.op("Greater", call.x, call.constant(layer.threshold))
    call.top("Where", above, call.constant(1), call.constant(0))


def _affine(call: OnnxCall, scale: float, shift: float) -> str:
    x = call.x if scale == 1 else call.op("Mul", call.x, call.constant(scale, "scale"))
    return x if shift == 0 else call.op("Add", x, call.constant(shift, "shift"))


@writes(Power)
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


@writes(Exp)
def exp(layer: Exp, call: OnnxCall) -> None:
    """Exp of the exponent in natural units."""
    logarithm = 1.0 if layer.base == NATURAL else math.log(layer.base)
    call.top("Exp", _affine(call, layer.scale * logarithm, layer.shift * logarithm))


@writes(Log)
def log(layer: Log, call: OnnxCall) -> None:
    """Log, divided by that of the base."""
    inner = _affine(call, layer.scale, layer.shift)
    if layer.base == NATURAL:
        call.top("Log", inner)
    else:
        call.top("Div", call.op("Log", inner), call.constant(math.log(layer.base), "base"))


@writes(Eltwise)
def eltwise(layer: Eltwise, call: OnnxCall) -> None:
    """Add, Mul or Max of the bottoms, with factors where a sum has them."""
    if layer.operation == "MAX":
        call.top("Max", *call.bottoms)
        return
    bottoms = list(call.bottoms)
    for index, factor in enumerate(layer.coeff if layer.operation == "SUM" else ()):
        if factor != 1:
            bottoms[index] = call.op("Mul", bottoms[index], call.constant(factor, "coeff"))
    kind = "Add" if layer.operation == "SUM" else "Mul"
    first = bottoms[0]
    for bottom in bottoms[1:-1]:
        first = call.op(kind, first, bottom)
    call.top(kind, first, bottoms[-1])
