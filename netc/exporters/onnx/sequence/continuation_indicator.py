"""ContinuationIndicator in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.sequence.continuation_indicator import ContinuationIndicator


@writes(ContinuationIndicator, any_extents=True)
def continuation_indicator(layer: ContinuationIndicator, call: OnnxCall) -> None:
    """The markers as a constant."""
    markers = np.ones((layer.time_step, layer.batch_size), np.float32)
    markers[0] = 0
    call.top("Identity", call.constant(markers, "markers", np.float32))
