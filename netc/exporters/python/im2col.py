"""Layers of `netc/layers/im2col.py` in plain torch."""

from __future__ import annotations

from netc.exporters.errors import unsupported
from netc.exporters.python.rules import Code, PythonCall, writes
from netc.layers.im2col import Im2col


@writes(Im2col)
def im2col(layer: Im2col, call: PythonCall) -> Code:
    """F.unfold, for images."""
    if call.axes != 4 or layer.axis not in (1, -3):
        unsupported("F.unfold takes images (n, c, h, w) only", "axis")
    w = layer.windows(2)
    h, width = layer.infer(call.shapes, 1)[0][2:]
    columns = f"F.unfold({call.x}, {w.kernel}, {w.dilation}, {w.pad}, {w.stride})"
    return Code(f"{columns}.unflatten(2, ({h}, {width}))")
