"""Layers of `netc/layers/reduction.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.reduction import ArgMax, Reduction


@writes(Reduction)
def reduction(layer: Reduction, call: OnnxCall) -> None:
    """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean."""
    kinds = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}
    axes = call.constant(range(layer.axis % call.axes, call.axes), "axes", np.int64)
    kind = kinds[layer.operation]
    if layer.coeff == 1:
        call.top(kind, call.x, axes, keepdims=0)
    else:
        call.top("Mul", call.op(kind, call.x, axes, keepdims=0), call.constant(layer.coeff, "coeff"))


@writes(ArgMax)
def arg_max(layer: ArgMax, call: OnnxCall) -> None:
    """TopK of the reversed axis, since of equal values the last comes first."""
    if layer.axis is not None:
        if layer.axis % call.axes == 0 and 0 in call.free[0]:
            unsupported("chooses among the items of a batch, whose size is free", "axis")
        places, values = _greatest(call, call.x, layer.axis % call.axes, call.shapes[0][layer.axis], layer.top_k)
        call.top("Identity", values if layer.out_max_val else places)
        return
    count = int(np.prod(call.shapes[0][1:]))
    flat = call.op("Reshape", call.x, call.constant([0, -1], "flat", np.int64))
    places, values = _greatest(call, flat, 1, count, layer.top_k)
    found = call.op("Concat", places, values, axis=1) if layer.out_max_val else places
    call.top("Reshape", found, call.constant([0, *call.top_shapes[0][1:]], "shape", np.int64))


def _greatest(call: OnnxCall, x: str, axis: int, extent: int, count: int) -> tuple[str, str]:
    """Places, as numbers, and values of the greatest along an axis."""
    words = {"starts": -1, "ends": -(2**31), "axes": axis, "steps": -1}
    turned = call.op("Slice", x, *(call.constant([value], word, np.int64) for word, value in words.items()))
    values, indices = call.sink.fresh(f"{call.name}/values"), call.sink.fresh(f"{call.name}/indices")
    call.op("TopK", turned, call.constant([count], "k", np.int64), to=(values, indices), axis=axis)
    places = call.op("Sub", call.constant(extent - 1, "last", np.int64), indices)
    return call.op("Cast", places, to_type="net"), values
