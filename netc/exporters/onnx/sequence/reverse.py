"""Reverse in ONNX; ReverseTime takes the general path."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.sequence.reverse import Reverse


@writes(Reverse, any_extents=True)
def reverse(layer: Reverse, call: OnnxCall) -> None:
    """A slice with a negative step."""
    ends = {"starts": [-1], "ends": [np.iinfo(np.int64).min], "axes": [layer.axis], "steps": [-1]}
    call.top("Slice", call.x, *(call.constant(values, word, np.int64) for word, values in ends.items()))
