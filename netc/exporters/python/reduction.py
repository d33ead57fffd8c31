"""Layers of `netc/layers/reduction.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.reduction import ArgMax, Reduction


@writes(Reduction)
def reduction(layer: Reduction, call: PythonCall) -> Code:
    """One number of all axes from `axis` on."""
    axis = layer.axis % call.axes
    rows = f"{call.x}.flatten({axis})" if axis < call.axes - 1 else call.x
    inner = {"ASUM": ".abs()", "SUMSQ": ".square()"}.get(layer.operation, "")
    top = f"{rows}{inner}.{'mean' if layer.operation == 'MEAN' else 'sum'}({axis})"
    return Code(top if layer.coeff == 1 else f"{top} * {number(layer.coeff)}")


@writes(ArgMax)
def arg_max(layer: ArgMax, call: PythonCall) -> Code:
    """Places of the largest, and perhaps these themselves."""
    if layer.axis is not None:
        found = f"arg_max({call.x}, {layer.axis}, {layer.top_k})[{int(layer.out_max_val)}]"
        return Code(found, functions=("arg_max",))
    found = f"arg_max({call.x}.flatten(1), 1, {layer.top_k})"
    both = f"torch.stack({found}, 1)" if layer.out_max_val else f"{found}[0]"
    shape = layer.infer(call.shapes, 1)[0][1:]
    return Code(f"{both}.reshape({call.x}.shape[0], {', '.join(map(str, shape))})", functions=("arg_max",))
