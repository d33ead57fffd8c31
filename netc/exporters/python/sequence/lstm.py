"""Lstm without markers in plain torch; with markers it takes the general path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netc.exporters.python.rules import Array, Code, PythonCall, writes
from netc.layers.sequence.lstm import Lstm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@writes(Lstm, any_extents=True)
def lstm(layer: Lstm, call: PythonCall) -> Code:
    """Torch's module, which starts from zeros."""
    inputs = int(np.prod(call.shapes[0][2:]))
    x = call.x if call.axes == 3 else f"{call.x}.flatten(2)"
    return Code(f"{call.module}({x})[0]", f"nn.LSTM({inputs}, {layer.num_output})", _tensors)


def _tensors(blobs: Sequence[Array]) -> Mapping[str, Array]:
    weight_x, weight_h, bias = map(_in_torch_order, blobs)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    return dict(zip(names, (weight_x, weight_h, bias, np.zeros_like(bias))))


def _in_torch_order(blob: Array) -> Array:
    """The gates i, f, g and o instead of i, f, o and g."""
    i, f, o, g = np.split(blob, 4)
    return np.concatenate((i, f, g, o))
