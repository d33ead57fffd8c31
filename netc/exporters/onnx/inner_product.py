"""Layers of `netc/layers/inner_product.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.inner_product import Embed, InnerProduct


@writes(InnerProduct)
def inner_product(layer: InnerProduct, call: OnnxCall) -> None:
    """Flatten and Gemm; MatMul where more than one axis stays."""
    axis = layer.axis % call.axes
    if axis == 1:
        x = call.x if call.axes == 2 else call.op("Flatten", call.x, axis=1)
        call.top("Gemm", x, *map(call.blob, range(len(call.blobs))), transB=int(not layer.transpose))
        return
    x = (
        call.x
        if axis == call.axes - 1
        else call.op("Reshape", call.x, call.constant([0] * axis + [-1], dtype=np.int64))
    )
    matrix = call.constant(call.blobs[0] if layer.transpose else call.blobs[0].T, "weight")
    if not layer.bias_term:
        call.top("MatMul", x, matrix)
        return
    call.top("Add", call.op("MatMul", x, matrix), call.blob(1))


@writes(Embed)
def embed(layer: Embed, call: OnnxCall) -> None:
    """Gather of rows, and perhaps Add."""
    found = call.blob(0), call.op("Cast", call.x, to_type="int64")
    if not layer.bias_term:
        call.top("Gather", *found, axis=0)
        return
    call.top("Add", call.op("Gather", *found, axis=0), call.blob(1))
