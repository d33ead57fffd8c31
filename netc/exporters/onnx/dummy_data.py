"""Layers of `netc/layers/dummy_data.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.dummy_data import ConstantData


@writes(ConstantData)
def constant_data(layer: ConstantData, call: OnnxCall) -> None:
    """One number per top, repeated."""
    tops = len(call.tops)
    for top, shape, filler in zip(call.tops, layer.shapes(tops), layer.fillers(tops)):
        value = call.tensor(np.array(filler.value, call.sink.dtype))
        call.op("Expand", value, call.constant(shape, "shape", np.int64), to=top)
