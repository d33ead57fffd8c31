"""Layers of `netc/layers/segmentation/upsample.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.segmentation.upsample import MaxUnpooling, NearestUpsampling


@writes(NearestUpsampling, any_extents=True)
def nearest(layer: NearestUpsampling, call: PythonCall) -> Code:
    """repeat_interleave along both axes."""
    if int(layer.scale) != layer.scale:
        unsupported("repeats elements a fraction of times", "scale")
    factor = int(layer.scale)
    return Code(f"{call.x}.repeat_interleave({factor}, -2).repeat_interleave({factor}, -1)")


@writes(MaxUnpooling)
def unpooling(layer: MaxUnpooling, call: PythonCall) -> Code:
    """Scatter into zeros."""
    channels, h, w = layer.infer(call.shapes, 1)[0][1:]
    x, mask = call.bottoms
    zeros = f"{x}.new_zeros({x}.shape[0], {channels}, {h * w})"
    return Code(
        f"{zeros}.scatter(2, {mask}.long().flatten(2), {x}.flatten(2)).view({x}.shape[0], {channels}, {h}, {w})"
    )
