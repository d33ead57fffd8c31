"""Layers of `netc/layers/reshape.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.reshape import KEEP, Flatten, Reshape, Tile


@writes(Flatten)
def flatten(layer: Flatten, call: PythonCall) -> Code:
    """An axis of 1, where there is nothing to make one of."""
    return Code(f"{call.x}.unsqueeze({layer.axis % call.axes})")


@writes(Reshape)
def reshape(layer: Reshape, call: PythonCall) -> Code:
    """Another shape; extents that are kept are read off the tensor, so that a batch of any size fits."""
    start = layer.axis if layer.axis >= 0 else call.axes + layer.axis + 1
    end = call.axes if layer.num_axes == -1 else start + layer.num_axes
    keep = [f"{call.x}.shape[{axis}]" for axis in range(call.axes)]
    middle = [keep[start + i] if extent == KEEP else str(extent) for i, extent in enumerate(layer.shape)]
    return Code(f"{call.x}.reshape({', '.join([*keep[:start], *middle, *keep[end:]])})")


@writes(Tile)
def tile(layer: Tile, call: PythonCall) -> Code:
    """Repeated along an axis."""
    times = [1] * call.axes
    times[layer.axis] = layer.tiles
    return Code(f"{call.x}.repeat({', '.join(map(str, times))})")
