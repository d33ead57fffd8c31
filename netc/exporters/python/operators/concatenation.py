"""Layers of `netc/layers/operators/concatenation.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.concatenation import ConcatOperator


@writes(ConcatOperator)
def concat(layer: ConcatOperator, call: PythonCall) -> Code:
    """torch.cat, and the extents."""
    axis = layer.axis % call.axes
    if layer.add_axis or axis == 0:
        unsupported("a new axis, or the first", "axis")
    extents = [shape[axis] for shape in call.shapes]
    second = f", torch.tensor({extents}, dtype=torch.int32)" * (call.tops > 1)
    return Code(f"torch.cat([{', '.join(call.bottoms)}], {axis}){second}")
