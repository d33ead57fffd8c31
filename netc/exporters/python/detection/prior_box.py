"""Layers of `netc/layers/detection/prior_box.py` in plain torch."""

from __future__ import annotations

from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.detection.prior_box import PriorBox, PriorBoxClustered, TextPriorBox


@writes(PriorBox, PriorBoxClustered, TextPriorBox)
def prior_box(layer: PriorBox | PriorBoxClustered, call: PythonCall) -> Code:
    """A buffer: the boxes depend on the extents of the planes only."""
    return Code(call.scope.constant(layer.priors(call.shapes)))
