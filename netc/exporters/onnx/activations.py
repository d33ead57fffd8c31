"""Layers of `netc/layers/activations.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.activations import BNLL, ELU, PReLU, ReLU, Sigmoid, Swish, TanH


@writes(ReLU, any_extents=True)
def relu(layer: ReLU, call: OnnxCall) -> None:
    """Relu or LeakyRelu."""
    if layer.negative_slope:
        call.top("LeakyRelu", call.x, alpha=layer.negative_slope)
    else:
        call.top("Relu", call.x)


@writes(ELU, any_extents=True)
def elu(layer: ELU, call: OnnxCall) -> None:
    """Elu."""
    call.top("Elu", call.x, alpha=layer.alpha)


@writes(Sigmoid, any_extents=True)
def sigmoid(layer: Sigmoid, call: OnnxCall) -> None:
    """Sigmoid."""
    call.top("Sigmoid", call.x)


@writes(TanH, any_extents=True)
def tanh(layer: TanH, call: OnnxCall) -> None:
    """Tanh."""
    call.top("Tanh", call.x)


@writes(BNLL, any_extents=True)
def bnll(layer: BNLL, call: OnnxCall) -> None:
    """Softplus."""
    call.top("Softplus", call.x)


@writes(Swish, any_extents=True)
def swish(layer: Swish, call: OnnxCall) -> None:
    """Mul by a Sigmoid."""
    inner = call.x if layer.beta == 1 else call.op("Mul", call.x, call.constant(layer.beta))
    call.top("Mul", call.x, call.op("Sigmoid", inner))


@writes(PReLU, any_extents=True)
def prelu(layer: PReLU, call: OnnxCall) -> None:
    """PRelu with a slope a channel."""
    call.top("PRelu", call.x, call.blob(0, [-1] + [1] * (call.axes - 2)))
