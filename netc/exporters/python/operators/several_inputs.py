"""Layers of `netc/layers/operators/several_inputs.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.several_inputs import SameShapes


@writes(SameShapes)
def same_shapes(layer: SameShapes, call: PythonCall) -> Code:
    """A sum, and perhaps its positive part."""
    if layer.type not in ("Sum", "SumRelu") or len(call.bottoms) < 2:
        unsupported("it is not a sum")
    total = " + ".join(call.bottoms)
    return Code(f"F.relu({total})" if layer.type == "SumRelu" else total)
