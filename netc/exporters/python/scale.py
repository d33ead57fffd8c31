"""Layers of `netc/layers/scale.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.scale import Bias, Scale


def spread(operand: str, axes: int, own: int, axis: int) -> str:
    """An operand with `own` axes, reshaped so that it stands at `axis` of a tensor with `axes` axes."""
    trailing = axes - axis % axes - own if own else 0
    return operand + "".join(f"[{', '.join(['...'] + ['None'] * trailing)}]" if trailing else "")


@writes(Scale, any_extents=True)
def scale(layer: Scale, call: PythonCall) -> Code:
    """A factor, and perhaps an addend, for a run of axes."""
    own = len(layer.operand(call.shapes))
    names = (*call.bottoms[1:], *call.weights)
    factor = spread(names[0], call.axes, own, layer.axis)
    product = f"{call.x} * {factor}"
    return Code(f"{product} + {spread(names[1], call.axes, own, layer.axis)}" if layer.bias_term else product)


@writes(Bias, any_extents=True)
def bias(layer: Bias, call: PythonCall) -> Code:
    """An addend for a run of axes."""
    own = len(layer.operand(call.shapes))
    return Code(f"{call.x} + {spread((*call.bottoms[1:], *call.weights)[0], call.axes, own, layer.axis)}")
