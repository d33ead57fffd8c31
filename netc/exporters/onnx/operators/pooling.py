"""Layers of `netc/layers/operators/pooling.py` in ONNX."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.onnx.operators.convolution import windows
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.operators.pooling import AveragePool, MaxPool


@writes(MaxPool, AveragePool)
def pool(layer: MaxPool | AveragePool, call: OnnxCall) -> None:
    """MaxPool and AveragePool, whose padding is neither the maximum nor counted, or their global forms."""
    kind = "MaxPool" if isinstance(layer, MaxPool) else "AveragePool"
    if layer.global_pooling:
        if layer.order != "NCHW" or call.axes < 3:
            unsupported("the channels are the last axis", "order")
        call.top(f"Global{kind}", call.x)
        return
    if isinstance(layer, AveragePool) and layer.count_include_pad:
        unsupported("padding counts as elements", "count_include_pad")
    call.top(kind, call.x, **windows(layer, call))
