"""ContinuationIndicator in plain torch."""

from __future__ import annotations

import torch

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.sequence.continuation_indicator import ContinuationIndicator


@writes(ContinuationIndicator)
def continuation_indicator(layer: ContinuationIndicator, call: PythonCall) -> Code:
    """The markers, a buffer."""
    markers = torch.ones(layer.time_step, layer.batch_size)
    markers[0] = 0
    return Code(call.scope.constant(markers))
