"""Layers of `netc/layers/reduction.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.reduction import Reduction


@writes(Reduction)
def reduction(layer: Reduction, call: Caffe2Call) -> None:
    """ReduceBackSum or ReduceBackMean of the last axes, of absolute values or squares."""
    axis = layer.axis % call.axes if call.axes else 0
    x = call.x
    if layer.operation in ("ASUM", "SUMSQ"):
        x = call.op("Abs" if layer.operation == "ASUM" else "Sqr", x)
    kind = "ReduceBackMean" if layer.operation == "MEAN" else "ReduceBackSum"
    if layer.coeff == 1:
        call.top(kind, x, num_reduce_dim=call.axes - axis)
    else:
        call.top("Scale", call.op(kind, x, num_reduce_dim=call.axes - axis), scale=float(layer.coeff))
