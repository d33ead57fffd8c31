"""Layers of `netc/layers/segmentation/interp.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.segmentation.interp import Interp


@writes(Interp, any_extents=True)
def interp(layer: Interp, call: OnnxCall) -> None:
    """Resize to a size that is computed when the model runs where it is free, with corners that coincide."""
    if layer.interp_type != "bilinear":
        unsupported(f"resizes by `{layer.interp_type}`, whose rounding Resize does not have", "interp_type")
    x = _cropped(layer, call)
    size = _size(layer, call, x)
    whole = call.op("Concat", call.op("Shape", x, end=2), size, axis=0)
    call.top("Resize", x, "", "", whole, mode="linear", coordinate_transformation_mode="align_corners")


def _cropped(layer: Interp, call: OnnxCall) -> str:
    if not (layer.pad_beg or layer.pad_end):
        return call.x
    last = np.iinfo(np.int64).max
    ends = [layer.pad_end or last] * 2
    words = {"starts": [-layer.pad_beg] * 2, "ends": ends, "axes": [2, 3]}
    return call.op("Slice", call.x, *(call.constant(values, word, np.int64) for word, values in words.items()))


def _size(layer: Interp, call: OnnxCall, x: str) -> str:
    """Height and width of the top, as a value."""
    free = {axis for axes in call.free for axis in axes} & {2, 3}
    fixed = (
        layer.height is not None
        and layer.width is not None
        and (layer.zoom_factor is None) == (layer.shrink_factor is None)
    )
    if fixed or not free:
        return call.constant(call.top_shapes[0][2:], "size", np.int64)
    if layer.zoom_factor is None and layer.shrink_factor is None:
        return call.op("Shape", call.bottoms[1], start=2)
    one = call.constant([1], "one", np.int64)
    left = call.op("Sub", call.op("Shape", x, start=2), one)
    for kind, factor in (("Div", layer.shrink_factor), ("Mul", layer.zoom_factor)):
        left = left if factor is None else call.op(kind, left, call.constant([factor], "factor", np.int64))
    return call.op("Add", left, one)
