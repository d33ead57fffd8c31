"""Layers of `netc/layers/reshape.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.reshape import KEEP, Flatten, Reshape, Tile


@writes(Flatten)
def flatten(layer: Flatten, call: OnnxCall) -> None:
    """Reshape to the extents of the top; the first axis that is kept stays free."""
    start, end = layer.axis % call.axes, layer.end_axis % call.axes + 1
    if start == end:
        call.top("Unsqueeze", call.x, call.constant([start], "axes", np.int64))
        return
    call.top("Reshape", call.x, call.constant([*[0] * start, -1, *call.shapes[0][end:]], "shape", np.int64))


@writes(Reshape)
def reshape(layer: Reshape, call: OnnxCall) -> None:
    """Reshape: a 0 at place i keeps the extent of axis i, in ONNX as in Caffe."""
    start = layer.axis if layer.axis >= 0 else call.axes + layer.axis + 1
    end = call.axes if layer.num_axes == -1 else start + layer.num_axes
    if end == 0 and call.axes:  # axes are put before the batch, whose extent then is the only free one
        if -1 in layer.shape:
            unsupported("an inferred extent together with a batch axis that moves", "shape")
        tail = (-1, *call.shapes[0][1:])
    else:
        tail = call.shapes[0][end:]
    kept = [0 if extent == KEEP else extent for extent in layer.shape]
    call.top("Reshape", call.x, call.constant([*[0] * start, *kept, *tail], "shape", np.int64))


@writes(Tile)
def tile(layer: Tile, call: OnnxCall) -> None:
    """Tile."""
    times = [1] * call.axes
    times[layer.axis] = layer.tiles
    call.top("Tile", call.x, call.constant(times, "times", np.int64))
