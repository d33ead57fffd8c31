"""Layers of `netc/layers/crop.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.ir.dims import known
from netc.layers.crop import Crop


@writes(Crop)
def crop(layer: Crop, call: Caffe2Call) -> None:
    """A Slice for each axis that is cropped: the operator slices one axis."""
    before, after = call.shapes[0], call.top_shapes[0]
    first = layer.axis % call.axes
    offsets = (0,) * first + layer.offsets(call.axes - first)
    cut = [axis for axis in range(first, call.axes) if before[axis] != after[axis]]
    if not all(known(before[axis]) and known(after[axis]) for axis in cut):
        unsupported("the extents that it crops are unknown")
    x = call.x
    for axis in cut:
        starts, ends = [0] * call.axes, [-1] * call.axes
        starts[axis], ends[axis] = offsets[axis], offsets[axis] + after[axis]
        if axis == cut[-1]:
            call.top("Slice", x, starts=starts, ends=ends)
        else:
            x = call.op("Slice", x, starts=starts, ends=ends)
    if not cut:
        call.top("Copy", x)
