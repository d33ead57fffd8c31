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
    call.add(
        "LRN",
        [call.x],
        [call.sink.names.add(call.tops[0]) if call.tops[0] == call.x else call.tops[0], call.fresh("scale")],
        {
            "size": layer.local_size,
            "alpha": float(layer.alpha),
            "beta": float(layer.beta),
            "bias": float(layer.k),
            "order": "NCHW",
        },
    )
    call.tops[0] = call.sink.operators[-1].output[0]
