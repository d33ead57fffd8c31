"""Layers of `netc/layers/inner_product.py` as operators of Caffe2."""

from __future__ import annotations

import numpy as np

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.inner_product import InnerProduct


@writes(InnerProduct)
def inner_product(layer: InnerProduct, call: Caffe2Call) -> None:
    """FC or FCTransposed, which always have a bias."""
    axis = layer.axis % call.axes
    bias = call.blobs[1].reshape(-1) if len(call.blobs) > 1 else np.zeros(call.top_shapes[0][-1], np.float32)
    weight = call.parameter(call.blobs[0].reshape(call.blobs[0].shape[-2:]), "w")
    kind = "FCTransposed" if layer.transpose else "FC"
    call.top(kind, call.x, weight, call.parameter(bias, "b"), axis=axis if axis != 1 else None)
