"""Layers of `netc/layers/operators/fully_connected.py` in ONNX."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.fully_connected import FullyConnected


@writes(FullyConnected)
def fully_connected(layer: FullyConnected, call: OnnxCall) -> None:
    """Flatten and Gemm."""
    if layer.axis != 1 or layer.axis_w != 1:
        unsupported("more or fewer axes than the first stay", "axis")
    x, w, b = call.bottoms
    matrices = [
        name if len(shape) == 2 else call.op("Flatten", name, axis=1) for name, shape in zip((x, w), call.shapes)
    ]
    call.top("Gemm", *matrices, b, transB=int(not layer.transposed))
