"""Layers of `netc/layers/eltwise.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.eltwise import Eltwise


@writes(Eltwise, any_extents=True)
def eltwise(layer: Eltwise, call: PythonCall) -> Code:
    """The sum, product or maximum of the bottoms."""
    if layer.operation == "MAX":
        top = call.x
        for bottom in call.bottoms[1:]:
            top = f"torch.maximum({top}, {bottom})"
        return Code(top)
    if layer.operation == "PROD":
        return Code(" * ".join(call.bottoms))
    coeff = layer.coeff or (1.0,) * len(call.bottoms)
    return Code(" + ".join(x if c == 1 else f"{number(c)} * {x}" for x, c in zip(call.bottoms, coeff)))
