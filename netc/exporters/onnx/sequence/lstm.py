"""Lstm without markers in ONNX; with markers it takes the general path."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import Array, OnnxCall, writes
from netc.layers.sequence.lstm import Lstm


@writes(Lstm, any_extents=True)
def lstm(layer: Lstm, call: OnnxCall) -> None:
    """ONNX's LSTM, which starts from zeros."""
    weight_x, weight_h, bias = map(_in_onnx_order, call.blobs)
    flat = call.x if call.axes == 3 else call.op("Reshape", call.x, call.constant([0, 0, -1], "flat", np.int64))
    names = call.blob_names
    blobs = (
        call.constant(weight_x[None], names[0]),
        call.constant(weight_h[None], names[1]),
        call.constant(np.concatenate((bias, np.zeros_like(bias)))[None], names[2]),
    )
    directed = call.op("LSTM", flat, *blobs, hidden_size=layer.num_output)
    call.top("Squeeze", directed, call.constant([1], "axes", np.int64))


def _in_onnx_order(blob: Array) -> Array:
    """The gates i, o, f and g instead of i, f, o and g."""
    i, f, o, g = np.split(blob, 4)
    return np.concatenate((i, o, f, g))
