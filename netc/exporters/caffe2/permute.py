"""Layers of `netc/layers/permute.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.permute import Permute


@writes(Permute)
def permute(layer: Permute, call: Caffe2Call) -> None:
    """Transpose."""
    call.top("Transpose", call.x, axes=list(layer.axes(call.axes)))
