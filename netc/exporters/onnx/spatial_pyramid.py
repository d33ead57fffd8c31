"""Layers of `netc/layers/spatial_pyramid.py` in ONNX."""

from __future__ import annotations

from dataclasses import replace

from netc.exporters.errors import unsupported
from netc.exporters.onnx.pooling import pooling
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.spatial_pyramid import SPP


@writes(SPP)
def spatial_pyramid(layer: SPP, call: OnnxCall) -> None:
    """The poolings of a plane of this size, side by side."""
    if layer.pool == "STOCHASTIC":
        unsupported("STOCHASTIC pooling over padded windows", "pool")
    h, w = call.shapes[0][2:]
    if layer.pyramid_height == 1:
        pooling(layer.level(h, w, 0), call)
        return
    rows = []
    for level in range(layer.pyramid_height):
        top = call.sink.fresh(f"{call.name}/level{level}")
        pooling(layer.level(h, w, level), replace(call, tops=(top,)))
        rows.append(call.op("Flatten", top, axis=1))
    call.top("Concat", *rows, axis=1)
