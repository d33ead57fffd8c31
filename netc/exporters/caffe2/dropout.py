"""Layers of `netc/layers/dropout.py` as operators of Caffe2."""

from __future__ import annotations

from netc.exporters.caffe2.rules import Caffe2Call, writes
from netc.layers.dropout import Dropout


@writes(Dropout)
def dropout(layer: Dropout, call: Caffe2Call) -> None:
    """Dropout in test, which is the identity."""
    call.top("Dropout", call.x, ratio=float(layer.dropout_ratio), is_test=1)
