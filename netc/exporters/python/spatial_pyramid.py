"""Layers of `netc/layers/spatial_pyramid.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.spatial_pyramid import SPP


@writes(SPP)
def spatial_pyramid(layer: SPP, call: PythonCall) -> Code:
    """The poolings of a plane of this size, side by side."""
    if layer.pool == "STOCHASTIC":
        unsupported("STOCHASTIC pooling over padded windows", "pool")
    name = "max_pool" if layer.pool == "MAX" else "average_pool"
    h, w = call.shapes[0][2:]
    levels = [layer.level(h, w, level) for level in range(layer.pyramid_height)]
    tops = [f"{name}({call.x}, {one.kernel}, {one.stride}, {one.pad}, False)" for one in levels]
    functions = ("windows", name)
    if len(tops) == 1:
        return Code(tops[0], functions=functions)
    return Code(f"torch.cat([{', '.join(f'{top}.flatten(1)' for top in tops)}], 1)", functions=functions)
