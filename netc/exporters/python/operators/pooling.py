"""Layers of `netc/layers/operators/pooling.py` in plain torch."""

from __future__ import annotations

import math

from netc.exporters.errors import unsupported
from netc.exporters.python.operators.convolution import check_order, padded
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.operators.pooling import AveragePool, MaxPool


@writes(MaxPool, AveragePool)
def pool(layer: MaxPool | AveragePool, call: PythonCall) -> Code:
    """F.max_pool2d and F.avg_pool2d, or of another number of axes; the reduction of all axes for a whole plane."""
    check_order(layer)
    largest = isinstance(layer, MaxPool)
    if layer.global_pooling:
        if call.axes < 3:
            unsupported("it has no axis to reduce")
        axes = tuple(range(2, call.axes))
        return Code(f"{call.x}.{'amax' if largest else 'mean'}({axes}, keepdim=True)")
    found, x = layer.as_torch_pooling(call.shapes[0][2:]), call.x
    if found is None:
        if not largest:
            unsupported("its windows are not those of torch's pooling", "pads")
        x, found = padded(layer, call, -math.inf), ((0,) * len(layer.kernel), False)
    pads, ceil = found
    words = [f"padding={pads}"] * any(pads) + ["ceil_mode=True"] * ceil
    if isinstance(layer, AveragePool):
        if layer.count_include_pad:
            unsupported("padding counts as elements", "count_include_pad")
        words += ["count_include_pad=False"] * any(pads)
    name = f"F.{'max' if largest else 'avg'}_pool{len(layer.kernel)}d"
    return Code(f"{name}({', '.join([x, str(layer.kernel), str(layer.stride), *words])})")
