"""Layers of `netc/layers/dummy_data.py` in plain torch."""

from __future__ import annotations

import torch

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.dummy_data import ConstantData


@writes(ConstantData)
def constant_data(layer: ConstantData, call: PythonCall) -> Code:
    """One number per top, a buffer, repeated."""
    fillers, shapes = layer.fillers(call.tops), layer.shapes(call.tops)
    words = [call.scope.constant(torch.tensor(filler.value)) for filler in fillers]
    return Code(", ".join(f"{word}.expand({shape})" for word, shape in zip(words, shapes)))
