"""Layers of `netc/layers/normalization.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.exporters.errors import unsupported
from netc.layers.normalization import LRN


@writes(LRN)
def lrn(layer: LRN, call: Caffe2Call) -> None:
    """LRN across channels."""
    if layer.norm_region != "ACROSS_CHANNELS":
        unsupported("Caffe2 normalizes across channels only")
    numbers = {"alpha": float(layer.alpha), "beta": float(layer.beta), "bias": float(layer.k)}
    call.top("LRN", call.x, extra=("scale",), size=layer.local_size, **numbers, order="NCHW")
