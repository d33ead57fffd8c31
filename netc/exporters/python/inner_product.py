"""Layers of `netc/layers/inner_product.py` in plain torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.exporters.python.rules import Array, Code, PythonCall, writes
from netc.layers.inner_product import Embed, InnerProduct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@writes(InnerProduct)
def inner_product(layer: InnerProduct, call: PythonCall) -> Code:
    """nn.Linear, after a flatten where there is something to flatten."""
    axis = layer.axis % call.axes
    inputs = 1
    for extent in call.shapes[0][axis:]:
        inputs *= extent
    x = call.x if axis == call.axes - 1 else f"{call.x}.flatten({axis})"
    bias = "" if layer.bias_term else ", bias=False"

    def state(blobs: Sequence[Array]) -> Mapping[str, Array]:
        weight = np.ascontiguousarray(blobs[0].T) if layer.transpose else blobs[0]
        return dict(zip(("weight", "bias"), (weight, *blobs[1:])))

    return Code(f"{call.module}({x})", f"nn.Linear({inputs}, {layer.num_output}{bias})", state)


@writes(Embed)
def embed(layer: Embed, call: PythonCall) -> Code:
    """A look-up, and perhaps an addition."""
    found = f"F.embedding({call.x}.long(), {call.weights[0]})"
    return Code(f"{found} + {call.weights[1]}" if layer.bias_term else found)
