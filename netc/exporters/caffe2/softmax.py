"""Layers of `netc/layers/softmax.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.softmax import Softmax


@writes(Softmax)
def softmax(layer: Softmax, call: Caffe2Call) -> None:
    """Softmax, which normalizes all axes from `axis` on together: the axis of the layer is moved to the end first."""
    axis = layer.axis % call.axes
    if all(extent == 1 for extent in call.shapes[0][axis + 1 :]):
        call.top("Softmax", call.x, axis=axis if axis != 1 else None)
        return
    order = [*(i for i in range(call.axes) if i != axis), axis]
    moved = call.op("Softmax", call.op("Transpose", call.x, axes=order), axis=call.axes - 1)
    call.top("Transpose", moved, axes=[order.index(i) for i in range(call.axes)])
