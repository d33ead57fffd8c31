"""Layers of `netc/layers/detection/prior_box.py` in ONNX."""

from __future__ import annotations

from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.detection.prior_box import PriorBox, PriorBoxClustered, TextPriorBox


@writes(PriorBox, PriorBoxClustered, TextPriorBox)
def prior_box(layer: PriorBox | PriorBoxClustered, call: OnnxCall) -> None:
    """A constant: the boxes depend on the extents of the planes only."""
    boxes = layer.priors(call.shapes).numpy()
    call.top("Identity", call.constant(boxes, "boxes"))
