"""Layers of `netc/layers/mobile_activations.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.mobile_activations import HardSwish, Mish, ReLU6, SeLU, SeLu


@writes(ReLU6, any_extents=True)
def relu6(layer: ReLU6, call: OnnxCall) -> None:
    """Clip, or LeakyRelu and Min."""
    if layer.negative_slope:
        sloped = call.op("LeakyRelu", call.x, alpha=layer.negative_slope)
        call.top("Min", sloped, call.constant(layer.n, "max"))
    else:
        call.top("Clip", call.x, call.constant(0, "min"), call.constant(layer.n, "max"))


@writes(HardSwish, any_extents=True)
def hard_swish(layer: HardSwish, call: OnnxCall) -> None:
    """HardSwish."""
    call.top("HardSwish", call.x)


@writes(Mish, any_extents=True)
def mish(layer: Mish, call: OnnxCall) -> None:
    """Mul by the Tanh of a Softplus."""
    call.top("Mul", call.x, call.op("Tanh", call.op("Softplus", call.x)))


@writes(SeLU, SeLu, any_extents=True)
def selu(layer: SeLU, call: OnnxCall) -> None:
    """Selu."""
    call.top("Selu", call.x, alpha=layer.alpha, gamma=layer.factor)
