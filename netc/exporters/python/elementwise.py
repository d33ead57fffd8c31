"""Layers of `netc/layers/elementwise.py` in plain torch."""

from __future__ import annotations

import math

from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.elementwise import NATURAL, AbsVal, Clip, Exp, Log, Power, Threshold


def affine(x: str, scale: float, shift: float) -> str:
    """`x * scale + shift`, without what changes nothing.

    >>> affine("x", 1.0, 2.0), affine("x", 0.5, 0.0)
    ('(x + 2.0)', '(x * 0.5)')
    """
    product = x if scale == 1 else f"{x} * {number(scale)}"
    return x if (scale, shift) == (1, 0) else f"({product})" if shift == 0 else f"({product} + {number(shift)})"


@writes(Power, any_extents=True)
def power(layer: Power, call: PythonCall) -> Code:
    """(shift + scale x) ** power, a constant where power or scale is 0."""
    if layer.power * layer.scale == 0:
        return Code(f"torch.full_like({call.x}, {number(layer.shift)}).pow({number(layer.power)})")
    inner = affine(call.x, layer.scale, layer.shift)
    return Code(inner if layer.power == 1 else f"{inner}.pow({number(layer.power)})")


@writes(Exp, any_extents=True)
def exp(layer: Exp, call: PythonCall) -> Code:
    """Base ** (shift + scale x)."""
    logarithm = 1.0 if layer.base == NATURAL else math.log(layer.base)
    return Code(f"{affine(call.x, layer.scale * logarithm, layer.shift * logarithm)}.exp()")


@writes(Log, any_extents=True)
def log(layer: Log, call: PythonCall) -> Code:
    """The logarithm of shift + scale x to the base."""
    inner = f"{affine(call.x, layer.scale, layer.shift)}.log()"
    return Code(inner if layer.base == NATURAL else f"{inner} / {number(math.log(layer.base))}")


@writes(AbsVal, any_extents=True)
def absolute(layer: AbsVal, call: PythonCall) -> Code:
    """The absolute value."""
    return Code(f"{call.x}.abs()")


@writes(Clip, any_extents=True)
def clip(layer: Clip, call: PythonCall) -> Code:
    """Kept between two bounds; of crossed ones the lower counts."""
    if layer.min <= layer.max:
        return Code(f"{call.x}.clamp({number(layer.min)}, {number(layer.max)})")
    return Code(f"{call.x}.clamp(max={number(layer.max)}).clamp(min={number(layer.min)})")


@writes(Threshold, any_extents=True)
def threshold(layer: Threshold, call: PythonCall) -> Code:
    """1 above the threshold, 0 elsewhere."""
    return Code(f"({call.x} > {number(layer.threshold)}).to({call.x}.dtype)")
