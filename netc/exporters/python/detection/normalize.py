"""Layers of `netc/layers/detection/normalize.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.detection.normalize import Normalize


@writes(Normalize, any_extents=True)
def normalize(layer: Normalize, call: PythonCall) -> Code:
    """X / sqrt(eps + sum of squares), times the scale."""
    axes = tuple(range(1, call.axes)) if layer.across_spatial else (1,)
    factor = f"({call.x}.square().sum({axes}, keepdim=True) + {number(layer.eps)}).rsqrt()"
    return Code(f"{call.x} * {factor} * {call.weights[0]}.reshape({', '.join(['-1', *['1'] * (call.axes - 2)])})")
