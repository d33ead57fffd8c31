"""Layers of `netc/layers/im2col.py` in ONNX."""

from __future__ import annotations

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.im2col import Im2col


@writes(Im2col)
def im2col(layer: Im2col, call: OnnxCall) -> None:
    """Conv with a kernel for each place of the window, which holds nothing but a 1 there."""
    if layer.axis % call.axes != 1 or call.axes < 3:
        unsupported("`axis` is not the channel axis", "axis")
    channels, w = call.shapes[0][1], layer.windows(call.axes - 2)
    places = int(np.prod(w.kernel))
    kernels = np.tile(np.eye(places).reshape(places, 1, *w.kernel), (channels, 1, *[1] * len(w.kernel)))
    settings = {"kernel_shape": w.kernel, "strides": w.stride, "pads": w.pad * 2, "dilations": w.dilation}
    call.top("Conv", call.x, call.constant(kernels, "places"), group=channels, **settings)
