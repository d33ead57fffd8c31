"""Layers of `netc/layers/mobile_activations.py` in plain torch; the others are stock modules."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.mobile_activations import ReLU6, SeLU, SeLu


@writes(ReLU6, any_extents=True)
def relu6(layer: ReLU6, call: PythonCall) -> Code:
    """Bounds, after the slope if there is one."""
    if not layer.negative_slope:
        return Code(f"F.hardtanh({call.x}, 0.0, {number(layer.n)})")
    return Code(f"F.leaky_relu({call.x}, {number(layer.negative_slope)}).clamp(max={number(layer.n)})")


@writes(SeLU, SeLu, any_extents=True)
def selu(layer: SeLU, call: PythonCall) -> Code:
    """The exponential linear unit, scaled."""
    return Code(f"F.elu({call.x}, {number(layer.alpha)}) * {number(layer.factor)}")
