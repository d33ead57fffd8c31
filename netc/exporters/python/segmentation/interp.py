"""Layers of `netc/layers/segmentation/interp.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.segmentation.interp import Interp


@writes(Interp, any_extents=True)
def interp(layer: Interp, call: PythonCall) -> Code:
    """F.interpolate, after a crop."""
    if layer.interp_type != "bilinear":
        unsupported(f"resizes by `{layer.interp_type}`", "interp_type")
    x = call.x
    if layer.pad_beg or layer.pad_end:
        part = f"{-layer.pad_beg or ''}:{layer.pad_end or ''}"
        x = f"{x}[:, :, {part}, {part}]"
    size = ", ".join(_extent(layer, call, axis) for axis in (2, 3))
    return Code(f'F.interpolate({x}, ({size}), mode="bilinear", align_corners=True)')


def _extent(layer: Interp, call: PythonCall, axis: int) -> str:
    fixed = (layer.height, layer.width)[axis - 2]
    if (layer.zoom_factor is None) == (layer.shrink_factor is None) and None not in (layer.height, layer.width):
        return str(fixed)
    if layer.zoom_factor is None and layer.shrink_factor is None:
        return f"{call.bottoms[1]}.shape[{axis}]"
    rest = layer.pad_beg + layer.pad_end - 1
    left = f"({call.x}.shape[{axis}] - {-rest})"
    shrunk = left if layer.shrink_factor is None else f"{left} // {layer.shrink_factor}"
    return f"{shrunk} * {layer.zoom_factor or 1} + 1"
