"""Layers of `netc/layers/detection/detection_output.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, number, writes
from netc.layers.detection.detection_output import EVERY_SCORE, DetectionOutput, RefineDetDetectionOutput


@writes(DetectionOutput, RefineDetDetectionOutput, any_extents=True)
def detection_output(layer: DetectionOutput, call: PythonCall) -> Code:
    """Functions of functions.py: decoding, then suppression for each image and class."""
    if layer.clip_after_nms:
        unsupported("clips boxes after suppression", "clip_after_nms")
    codes, scores, priors = call.bottoms[:3]
    kind = f"{layer.code_type!r}, {not layer.variance_encoded_in_target}"
    moved, chosen = f"prior_boxes({priors})", f"{scores}.unflatten(1, (-1, {layer.num_classes}))"
    functions: tuple[str, ...] = ("prior_boxes", "decode_boxes", "suppress", "detect")
    if isinstance(layer, RefineDetDetectionOutput) and len(call.bottoms) > 3:
        least = number(layer.objectness_score)
        chosen = f"skip_priors({chosen}, {call.bottoms[3]}.unflatten(1, (-1, 2)), {least})"
        functions = (*functions, "skip_priors")
    if len(call.bottoms) > 4:
        first = f"{call.bottoms[4]}.unflatten(1, (-1, 1, 4))"
        moved = f"move_priors({first}, {moved}, {kind})"
        functions = (*functions, "move_priors")
    classes = 1 if layer.share_location else layer.num_classes
    boxes = f"decode_boxes({codes}.unflatten(1, (-1, {classes}, 4)), {moved}, {kind})" + (
        ".clamp(0, 1)" if layer.clip_before_nms else ""
    )
    top = -1 if layer.top_k is None else layer.top_k
    lowest = EVERY_SCORE if layer.confidence_threshold is None else layer.confidence_threshold
    numbers = (layer.nms_threshold, lowest, layer.eta)
    settings = ", ".join([str(layer.background_label_id), str(top), str(layer.keep_top_k), *map(number, numbers)])
    return Code(f"detect({boxes}, {chosen}, {settings})", functions=functions)
