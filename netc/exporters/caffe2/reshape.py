"""Layers of `netc/layers/reshape.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.ir.dims import known
from netc.layers.reshape import KEEP, Flatten, Reshape, Tile


@writes(Flatten)
def flatten(layer: Flatten, call: Caffe2Call) -> None:
    """Flatten to a matrix, else Reshape; the extents before the axes are kept."""
    start, end = layer.axis % call.axes, layer.end_axis % call.axes + 1
    if end == call.axes and start == 1:
        call.top("Flatten", call.x)
        return
    rest = call.shapes[0][end:]
    if not all(map(known, rest)):
        unsupported("the extents after the flattened axes are unknown")
    call.top("Reshape", call.x, extra=("old_shape",), shape=[*[0] * start, -1, *rest])


@writes(Reshape)
def reshape(layer: Reshape, call: Caffe2Call) -> None:
    """Reshape: a 0 at place i keeps the extent of axis i, in Caffe2 as in Caffe."""
    start = layer.axis if layer.axis >= 0 else call.axes + layer.axis + 1
    end = call.axes if layer.num_axes == -1 else start + layer.num_axes
    tail = call.shapes[0][end:]
    if not all(map(known, tail)):
        unsupported("the extents after the replaced axes are unknown")
    kept = [0 if extent == KEEP else extent for extent in layer.shape]
    call.top("Reshape", call.x, extra=("old_shape",), shape=[*[0] * start, *kept, *tail])


@writes(Tile)
def tile(layer: Tile, call: Caffe2Call) -> None:
    """Tile."""
    call.top("Tile", call.x, tiles=layer.tiles, axis=layer.axis % call.axes)
