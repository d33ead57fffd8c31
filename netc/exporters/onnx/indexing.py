"""Layers of `netc/layers/indexing.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.indexing import BatchReindex, Filter


@writes(BatchReindex)
def batch_reindex(layer: BatchReindex, call: OnnxCall) -> None:
    """Gather of whole items."""
    call.top("Gather", call.x, call.op("Cast", call.bottoms[1], to_type="int64"), axis=0)


@writes(Filter)
def filter_(layer: Filter, call: OnnxCall) -> None:
    """Compress of each bottom."""
    flat = call.op("Reshape", call.bottoms[-1], call.constant([-1], "flat", np.int64))
    marked = call.op("Cast", flat, to_type="bool")
    for bottom, top in zip(call.bottoms, call.tops):
        call.op("Compress", bottom, marked, to=top, axis=0)
