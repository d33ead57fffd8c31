"""Layers of `netc/layers/activations.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.activations import ELU, PReLU, ReLU, Sigmoid, Swish, TanH


@writes(ReLU)
def relu(layer: ReLU, call: Caffe2Call) -> None:
    """Relu, or LeakyRelu with a slope."""
    if layer.negative_slope:
        call.top("LeakyRelu", call.x, alpha=float(layer.negative_slope))
    else:
        call.top("Relu", call.x)


@writes(PReLU)
def prelu(layer: PReLU, call: Caffe2Call) -> None:
    """PRelu, with one slope or one per channel."""
    call.top("PRelu", call.x, call.parameter(call.blobs[0].reshape(-1), "slope"))


@writes(ELU)
def elu(layer: ELU, call: Caffe2Call) -> None:
    """Elu."""
    call.top("Elu", call.x, alpha=float(layer.alpha))


@writes(Sigmoid)
def sigmoid(layer: Sigmoid, call: Caffe2Call) -> None:
    """Sigmoid."""
    call.top("Sigmoid", call.x)


@writes(TanH)
def tanh(layer: TanH, call: Caffe2Call) -> None:
    """Tanh."""
    call.top("Tanh", call.x)


@writes(Swish)
def swish(layer: Swish, call: Caffe2Call) -> None:
    """Swish, or x sigmoid(beta x)."""
    if layer.beta == 1:
        call.top("Swish", call.x)
    else:
        call.top("Mul", call.x, call.op("Sigmoid", call.op("Scale", call.x, scale=float(layer.beta))))
