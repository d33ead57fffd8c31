"""Layers of `netc/layers/convolution.py` in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from netc.exporters.errors import unsupported
from netc.exporters.onnx.rules import OnnxCall, writes
from netc.layers.convolution import Convolution, Deconvolution
from netc.layers.depthwise_convolution import ConvolutionDepthwise, DepthwiseConvolution


@writes(Convolution, Deconvolution, DepthwiseConvolution, ConvolutionDepthwise, any_extents=True)
def convolution(layer: Convolution | Deconvolution, call: OnnxCall) -> None:
    """Conv or ConvTranspose for each bottom; batch axes besides the first are folded into it for the call."""
    axis = layer.axis % call.axes
    if axis == call.axes - 1:
        unsupported("a convolution without a spatial axis", "axis")
    if axis != 1 and any(set(free) - {0} for free in call.free):
        unsupported("folds axes whose extents are free", "axis")
    windows = layer.windows(call.axes - axis - 1)
    kind = "Conv" if isinstance(layer, Convolution) else "ConvTranspose"
    weights = [call.blob(index) for index in range(len(call.blobs))]
    settings: dict[str, Any] = {
        "kernel_shape": windows.kernel,
        "strides": windows.stride,
        "pads": windows.pad * 2,
        "dilations": windows.dilation,
        "group": layer.groups(call.shapes[0][axis]),
    }
    for bottom, top in zip(call.bottoms, call.tops):
        if axis == 1:
            call.op(kind, bottom, *weights, to=top, **settings)
            continue
        before = [1, *call.shapes[0]] if axis == 0 else [-1, *call.shapes[0][axis:]]
        folded = call.op("Reshape", bottom, call.constant(before, "folded", np.int64))
        made = call.op(kind, folded, *weights, **settings)
        restored = call.top_shapes[0] if axis == 0 else (-1, *call.top_shapes[0][1:])
        call.op("Reshape", made, call.constant(restored, "shape", np.int64), to=top)
